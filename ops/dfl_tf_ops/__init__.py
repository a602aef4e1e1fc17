"""The accelerated operations of dfl_tf: color transfer, sample warps, fused optimizer steps."""
