"""The authors' names of the encoders' tensors, as tables; see tests/layouts.py."""

from layout_table import Table, squeeze_conv1d


def clap(n):
    """CLAP."""
    t, (vocabulary, width, layers, inner, num_positions) = Table(), n.clap_text
    a, b = "text_branch.embeddings", "text_model.embeddings"
    t.put(f"{a}.word_embeddings.weight", f"{b}.word_embeddings.weight", vocabulary, width)
    t.put(
        f"{a}.position_embeddings.weight", f"{b}.position_embeddings.weight", num_positions, width
    )
    t.put(f"{a}.token_type_embeddings.weight", f"{b}.token_type_embeddings.weight", 1, width)
    t.layer(f"{a}.LayerNorm", f"{b}.LayerNorm", width)
    for i in range(layers):
        a, b = f"text_branch.encoder.layer.{i}", f"text_model.encoder.layer.{i}"
        for name in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            t.layer(f"{a}.{name}", f"{b}.{name}", width, width)
        t.layer(f"{a}.intermediate.dense", f"{b}.intermediate.dense", inner, width)
        t.layer(f"{a}.output.dense", f"{b}.output.dense", width, inner)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            t.layer(f"{a}.{name}", f"{b}.{name}", width)
    t.layer("text_branch.pooler.dense", "text_model.pooler.dense", width, width)
    _clap_audio(t, *n.clap_audio)
    for side, size in (("text", width), ("audio", 8 * n.clap_audio[0])):
        t.layer(f"{side}_projection.0", f"{side}_projection.linear1", n.projection_dim, size)
        t.layer(
            f"{side}_projection.2", f"{side}_projection.linear2", n.projection_dim, n.projection_dim
        )
    t.put("logit_scale_a", "logit_scale_a")
    t.put("logit_scale_t", "logit_scale_t")
    return t


def _clap_audio(t, width, stages, heads):
    original, ours = "audio_branch", "audio_model.audio_encoder"
    t.layer(f"{original}.bn0", f"{ours}.batch_norm", 64)
    for name, shape in (
        ("running_mean", (64,)),
        ("running_var", (64,)),
        ("num_batches_tracked", ()),
    ):
        t.put(f"{original}.bn0.{name}", f"{ours}.batch_norm.{name}", *shape)
    t.layer(f"{original}.patch_embed.proj", f"{ours}.patch_embed.proj", width, 1, 4, 4)
    t.layer(f"{original}.patch_embed.norm", f"{ours}.patch_embed.norm", width)
    for i, (blocks, num_heads) in enumerate(zip(stages, heads, strict=True)):
        for j in range(blocks):
            a, b = f"{original}.layers.{i}.blocks.{j}", f"{ours}.layers.{i}.blocks.{j}"
            t.layer(f"{a}.norm1", f"{b}.layernorm_before", width)
            _fused(t, f"{a}.attn.qkv", f"{b}.attention.self", width)
            for name, shape in (
                ("relative_position_bias_table", (15 * 15, num_heads)),
                ("relative_position_index", (64, 64)),
            ):
                t.put(f"{a}.attn.{name}", f"{b}.attention.self.{name}", *shape)
            t.layer(f"{a}.attn.proj", f"{b}.attention.output.dense", width, width)
            t.layer(f"{a}.norm2", f"{b}.layernorm_after", width)
            t.layer(f"{a}.mlp.fc1", f"{b}.intermediate.dense", 4 * width, width)
            t.layer(f"{a}.mlp.fc2", f"{b}.output.dense", width, 4 * width)
        if i < len(stages) - 1:
            a, b = f"{original}.layers.{i}.downsample", f"{ours}.layers.{i}.downsample"
            t.layer(f"{a}.norm", f"{b}.norm", 4 * width)
            t.layer(f"{a}.reduction", f"{b}.reduction", 2 * width, 4 * width, bias=None)
            width *= 2
    t.layer(f"{original}.norm", f"{ours}.norm", width)


def _fused(t, original, ours, width):
    """Query, key and value are the first, middle and last third."""
    for leaf, shape in (("weight", (3 * width, width)), ("bias", (3 * width,))):
        t[f"{original}.{leaf}"] = (
            shape,
            {
                f"{ours}.query.{leaf}": lambda x: x[:width],
                f"{ours}.key.{leaf}": lambda x: x[width : 2 * width],
                f"{ours}.value.{leaf}": lambda x: x[2 * width :],
            },
        )


def t5(n):
    """T5: names are equal; the tied copy of the word table is not loaded."""
    t, (vocabulary, width, layers, inner, heads, head) = Table(), n.t5
    shapes = {"shared": (vocabulary, width), "encoder.final_layer_norm": (width,)}
    shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias"] = (32, heads)
    for i in range(layers):
        first, second = f"encoder.block.{i}.layer.0", f"encoder.block.{i}.layer.1"
        shapes |= {f"{first}.SelfAttention.{name}": (heads * head, width) for name in "qkv"}
        shapes |= {
            f"{first}.SelfAttention.o": (width, heads * head),
            f"{first}.layer_norm": (width,),
        }
        shapes |= {f"{second}.DenseReluDense.{name}": (inner, width) for name in ("wi_0", "wi_1")}
        shapes |= {f"{second}.DenseReluDense.wo": (width, inner), f"{second}.layer_norm": (width,)}
    for name, shape in shapes.items():
        t.layer(name, name, *shape, bias=None)
    return t


def translator(n):
    """The translator: of tables of 32 rows, one row per source is read.

    GPT-2's matrices are [in, out].
    """
    t, (vocabulary, width, layers, num_positions), count = Table(), n.gpt2, len(n.sources)
    t.put("start_of_sequence_tokens.weight", "start", 32, width, cut=lambda x: x[:count])
    t.put("end_of_sequence_tokens.weight", "end", 32, width, cut=lambda x: x[:count])
    for i, source in enumerate(n.sources):
        t.layer(f"input_sequence_embed_linear.{i}", f"projections.{i}", width, source)
    t.put("model.wte.weight", "gpt2.wte.weight", vocabulary, width)
    t.put("model.wpe.weight", "gpt2.wpe.weight", num_positions, width)
    for i in range(layers):
        a, b = f"model.h.{i}", f"gpt2.h.{i}"
        t.layer(f"{a}.ln_1", f"{b}.ln_1", width)
        t.layer(f"{a}.attn.c_attn", f"{b}.attn.c_attn", width, 3 * width, bias=1)
        t.layer(f"{a}.attn.c_proj", f"{b}.attn.c_proj", width, width, bias=1)
        t.layer(f"{a}.ln_2", f"{b}.ln_2", width)
        t.layer(f"{a}.mlp.c_fc", f"{b}.mlp.c_fc", width, 4 * width, bias=1)
        t.layer(f"{a}.mlp.c_proj", f"{b}.mlp.c_proj", 4 * width, width, bias=1)
    t.layer("model.ln_f", "gpt2.ln_f", width)
    return t


def phonemes(n):
    """The phoneme encoder: attention's 1x1 convolutions are matrices of ours."""
    t, (symbols, width, layers, inner, heads, length) = Table(), n.vits
    t.put("learnable_positional_embedding", "positional", 1, width, length)
    t.put("text_encoder.emb.weight", "embed_tokens.weight", symbols, width)
    for i in range(layers):
        a, b = f"text_encoder.encoder.attn_layers.{i}", f"encoder.layers.{i}.attention"
        for letter, name in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "out")):
            t.layer(f"{a}.conv_{letter}", f"{b}.{name}_proj", width, width, 1, cut=squeeze_conv1d)
        t.put(f"{a}.emb_rel_k", f"{b}.emb_rel_k", 1, 9, width // heads)
        t.put(f"{a}.emb_rel_v", f"{b}.emb_rel_v", 1, 9, width // heads)
        for norm, ours in (("norm_layers_1", "layer_norm"), ("norm_layers_2", "final_layer_norm")):
            t.put(
                f"text_encoder.encoder.{norm}.{i}.gamma", f"encoder.layers.{i}.{ours}.weight", width
            )
            t.put(f"text_encoder.encoder.{norm}.{i}.beta", f"encoder.layers.{i}.{ours}.bias", width)
        a, b = f"text_encoder.encoder.ffn_layers.{i}", f"encoder.layers.{i}.feed_forward"
        t.layer(f"{a}.conv_1", f"{b}.conv_1", inner, width, 3)
        t.layer(f"{a}.conv_2", f"{b}.conv_2", width, inner, 3)
    t.layer("text_encoder.proj", "project", 2 * width, width, 1)
    return t


def audiomae(n):
    """AudioMAE's encoder: names are equal."""
    t, (width, blocks, patch, num_positions) = Table(), n.audiomae
    t.put("cls_token", "cls_token", 1, 1, width)
    t.put("pos_embed", "pos_embed", 1, num_positions, width)
    shapes = {"patch_embed.proj": (width, 1, patch, patch), "norm": (width,)}
    for i in range(blocks):
        shapes |= {
            f"blocks.{i}.norm1": (width,),
            f"blocks.{i}.norm2": (width,),
            f"blocks.{i}.attn.qkv": (3 * width, width),
        }
        shapes |= {
            f"blocks.{i}.attn.proj": (width, width),
            f"blocks.{i}.mlp.fc1": (4 * width, width),
        }
        shapes |= {f"blocks.{i}.mlp.fc2": (width, 4 * width)}
    for name, shape in shapes.items():
        t.layer(name, name, *shape)
    return t
