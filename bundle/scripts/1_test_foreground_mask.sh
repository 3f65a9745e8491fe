#!/usr/bin/env bash
# Write foreground masks of slides; wraps 'tumor-detection foreground' under its historic name.
#
#   1_test_foreground_mask.sh SLIDES... [--output DIR] [--stride 64 ...]
#   1_test_foreground_mask.sh --slides PATH... --output DIR [--stride 64 ...]
#
# SLIDES  slides or folders of slides; or the variable SLIDES, one of them
# OUTPUT  the folder to write, a variable, unless --output gives it; default: foreground, in the current folder
# Options are handed on; 'tumor-detection foreground --help' explains them.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  usage
  exit 0
fi

slides=()
while [[ $# -gt 0 && $1 != -* ]]; do
  slides+=("$1")
  shift
done

arguments=()
for option in "$@"; do
  case $option in
    --slides | --slides=*) has_slides=1 ;;
    --output | --output=* | -o) has_output=1 ;;
  esac
done
if [[ ${#slides[@]} -gt 0 ]]; then
  arguments+=(--slides "${slides[@]}")
elif [[ -n ${SLIDES:-} && -z ${has_slides:-} ]]; then
  arguments+=(--slides "$SLIDES")
elif [[ -z ${has_slides:-} ]]; then
  usage >&2
  exit 2
fi
if [[ -z ${has_output:-} ]]; then
  arguments+=(--output "${OUTPUT:-foreground}")
fi

exec tumor-detection foreground ${arguments[@]+"${arguments[@]}"} "$@"
