#!/usr/bin/env bash
# Label the 3 x 3 cells around each coordinate; wraps 'tumor-detection loclabel' under its historic name.
#
#   0_train_loclabel_gen.sh COORDS [ANNOTATIONS [OUTPUT]] [--ignore_exclusions ...]
#   0_train_loclabel_gen.sh --coords FILE --annotations DIR --output CSV [--ignore_exclusions ...]
#
# COORDS       lines of slide,x,y (level-0 pixels); or the variable COORDS
# ANNOTATIONS  folder of annotations; or the variable ANNOTATIONS; default: jsons beside the folder of COORDS (NCRF)
# OUTPUT       CSV file to write; or the variable OUTPUT; default: COORDS' name with .csv, in the current folder
# Options are handed on; 'tumor-detection loclabel --help' explains them.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  usage
  exit 0
fi

positional=()
while [[ $# -gt 0 && $1 != -* ]]; do
  positional+=("$1")
  shift
done

if [[ ${#positional[@]} -eq 0 && $# -gt 0 && -z ${COORDS:-} ]]; then
  exec tumor-detection loclabel "$@"
fi

coords=${positional[0]:-${COORDS:-}}
if [[ -z $coords || ${#positional[@]} -gt 3 ]]; then
  usage >&2
  exit 2
fi
annotations=${positional[1]:-${ANNOTATIONS:-$(dirname -- "$coords")/../jsons}}
name=$(basename -- "$coords")
output=${positional[2]:-${OUTPUT:-${name%.*}.csv}}

exec tumor-detection loclabel --coords "$coords" --annotations "$annotations" --output "$output" "$@"
