// The AI SDK's three providers on a gateway: prints one line of JSON for each thing tried.
//
//   node clients.mjs http://127.0.0.1:8400
//
// Base URLs: OpenAI's provider takes the one with /v1, Anthropic's too, Google's the one with /v1beta.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogle } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const url = process.argv[2];
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'any' });
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: 'any' });
const google = createGoogle({ baseURL: `${url}/v1beta`, apiKey: 'any' });

const clients = {
  'openai.chat': name => openai.chat(name),
  'openai.responses': name => openai(name),
  anthropic: name => anthropic(name),
  google: name => google(name),
};

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});

const attempts = {
  async whole(model) {
    return (await generateText({ model, maxRetries: 0, prompt: 'Where does the Rhine rise?' })).text;
  },
  async stream(model) {
    let said = '';
    const running = streamText({ model, maxRetries: 0, prompt: 'Where does the Rhine rise?', onError() {} });
    for await (const piece of running.textStream) said += piece;
    await running.text; // fails where the stream did
    return said;
  },
  async tools(model) {
    const prompt = 'Please get_weather in Paris';
    return (await generateText({ model, maxRetries: 0, prompt, tools: { get_weather: weather }, stopWhen: stepCountIs(3) })).text;
  },
  async streamed_tools(model) {
    let said = '';
    const prompt = 'Please get_weather in Paris';
    const running = streamText({ model, maxRetries: 0, prompt, tools: { get_weather: weather }, stopWhen: stepCountIs(3), onError() {} });
    for await (const piece of running.textStream) said += piece;
    await running.text;
    return said;
  },
  async object(model) {
    const schema = z.object({ name: z.string(), people: z.number().int() });
    return (await generateObject({ model, maxRetries: 0, schema, prompt: 'Tell me about Oslo' })).object;
  },
  async image(model) {
    const content = [
      { type: 'text', text: 'Look' },
      { type: 'file', data: Buffer.from(PNG, 'base64'), mediaType: 'image/png' },
    ];
    return (await generateText({ model, maxRetries: 0, messages: [{ role: 'user', content }] })).text;
  },
};

function told(error) {
  return { error: String(error.message), status: error.statusCode ?? null };
}

for (const [client, make] of Object.entries(clients)) {
  for (const model of ['auto', 'gpt', 'claude', 'gem']) {
    for (const [attempt, ask] of Object.entries(attempts)) {
      const result = await ask(make(model)).then(said => ({ said }), told);
      console.log(JSON.stringify({ client, model, attempt, ...result }));
    }
  }
  const unknown = generateText({ model: make('gptx'), prompt: 'Hi', maxRetries: 0 });
  console.log(JSON.stringify({ client, model: 'gptx', attempt: 'unknown', ...(await unknown.then(() => ({}), told)) }));
}
