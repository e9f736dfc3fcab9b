"""Tool calls in answers, whatever dialect they came in: repaired, fitted to the declared schema, put in order.

syntax     argument text that is nearly JSON -> the object it means, or None
coercion   an object that nearly fits its schema -> one that fits, by changes that lose nothing
filter     events in, events out: argument bytes are held back until a call is whole, and nothing else is
order      which calls of one answer must wait for another's result
work       how much work it is to judge arguments, counted before it is done
names      tool names that a target's dialect refuses, renamed and restored
strict     whether a schema is in the subset that a provider's strict mode takes
"""
