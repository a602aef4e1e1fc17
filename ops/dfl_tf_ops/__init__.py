"""The accelerated operations of dfl_tf: color transfer, warps, convolutions, optimizer steps."""
