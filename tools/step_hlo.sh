#!/usr/bin/env bash
# Exports a small step of each model in float32 and bfloat16 and runs it with JAX: part "jax" of full.sh.
# JAX is the extra dfl-tf[jax], in the project's environment or in the one that DFL_TF_JAX names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="${1:-build/proof/hlo}"
jax="${DFL_TF_JAX:-python}"
rm -rf "$out"
export_case() { python tools/step_hlo.py export "$out" --small --numbers "$@"; }
for precision in float32 bfloat16; do
  export_case --name "saehd-df-$precision" --precision $precision --set archi=df-udt --set lr_dropout=y --set clipgrad=y \
    --set gan_power=0.1 --set gan_patch_size=8 --set gan_dims=4 --set true_face_power=0.01
  export_case --name "saehd-liae-$precision" --precision $precision --set archi=liae-ud --set eyes_mouth_prio=y --set adabelief=n
  export_case --name "amp-$precision" --precision $precision --model AMP --set clipgrad=y
  export_case --name "xseg-$precision" --precision $precision --model XSeg
done
export_case --name quick96-float32 --model Quick96 # 38 million weights: the size is fixed
"$jax" tools/step_hlo.py run "$out" --steps 2
