"""The toy as ONNX."""

from __future__ import annotations

from dfl_tf.export.onnx_networks import conv


def graph(graph, model, form):
    """Add what `Toy.swap_tensors` computes, NCHW, with the ports of the form."""
    side = model.options.resolution
    face = graph.input("in_face:0", ["batch", side, side, 3])
    x = graph.cast(graph.add("Transpose", face, perm=[0, 3, 1, 2]), half=graph.half)
    code = graph.add("LeakyRelu", conv(graph, x, "encoder", "conv1", stride=2), alpha=0.1)
    made = {
        "out_face_mask:0": ("decoder_dst", "mask", 1),
        "out_celeb_face:0": ("decoder_src", "image", 3),
        "out_celeb_face_mask:0": ("decoder_src", "mask", 1),
    }
    for name, (part, layer, channels) in made.items():
        y = conv(graph, code, part, layer)
        y = graph.add("DepthToSpace", y, blocksize=2, mode="DCR")
        y = graph.add("Sigmoid", graph.cast(y, half=False))
        y = graph.add("Transpose", y, perm=[0, 2, 3, 1])
        graph.output(name, y, ["batch", side, side, channels])
