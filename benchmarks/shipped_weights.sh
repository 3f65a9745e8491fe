#!/usr/bin/env bash
# Trains both shipped files, bundle/models/model_10x.pt and bundle/models/model.pt, anew, from random weights: all
# trainings that made them, one after the other.
#
#   bash benchmarks/shipped_weights.sh [OPTION ...]
#
# Run it, with tumor-detection on the PATH, in the folder that holds pcam/ and camelyon16_40x/, laid out as docs/data.md
# says, and contiguous/, which contiguous_patches.py makes. Each training writes to a folder in runs/; the results are
# runs/model_10x.pt and runs/model.pt.
# Interrupted, it goes on where it was when it is given again. Options go to each training: --cache cuda, say.
set -euo pipefail

here=$(dirname -- "${BASH_SOURCE[0]}")
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit
    ;;
esac

# model_10x.pt
tumor-detection train --config_file train_patches.json train_10x.json --train_folders "['pcam/train']" --validation_folders "['pcam/valid']" --epochs 100 --crisp_share 0.2 --output_dir runs/10x "$@"
tumor-detection train --config_file train_dense.json train_patches.json train_10x.json --train_folders "['pcam/train','pcam/extra','contiguous/10x','contiguous/10x','contiguous/10x']" --train_limit 15000 --validation_folders "['pcam/valid']" --validation_limit 600 --field_size "[160, 160]" --picture_size 192 --mirror true --batch_size 32 --num_alone 2 --agreement 1.0 --weights runs/10x/model.pt --frozen "['features.0','features.1','features.4']" --epochs 1 --learning_rate 0.0002 --ema_decay 0.99 --output_dir runs/screen "$@"
python "$here/average_weights.py" runs/10x/model.pt runs/screen/model.pt --output runs/mean_10x.pt
tumor-detection train --config_file train_dense.json train_patches.json train_10x.json --train_folders "['pcam/train','pcam/extra','contiguous/10x','contiguous/10x','contiguous/10x']" --train_limit 5120 --seed 1 --validation_folders "['pcam/valid']" --validation_limit 600 --field_size "[160, 160]" --picture_size 192 --mirror true --batch_size 32 --num_alone 2 --teacher "['runs/10x/model.pt','runs/screen/model.pt']" --weights runs/mean_10x.pt --frozen "['features.0','features.1','features.4']" --epochs 1 --learning_rate 0.0002 --ema_decay 0.98 --output_dir runs/agreeing_10x "$@"
python "$here/average_weights.py" runs/agreeing_10x/model.pt runs/agreeing_10x/model.pt runs/screen/model.pt --output runs/model_10x.pt
python "$here/describe_weights.py" runs/model_10x.pt --folders pcam/train pcam/extra

# model.pt
tumor-detection train --config_file train_patches.json --train_folders "['pcam/train']" --validation_folders "['pcam/valid']" --epochs 53 --train#augmentation#resample_prob 1 --ema_decay 0.998 --output_dir runs/base "$@"
tumor-detection train --config_file train_patches.json --train_folders "['pcam/train']" --train_tables "['camelyon16_40x/labels.csv']" --table_repeats 3 --train_limit 2048 --validation_folders "['pcam/valid']" --validation_limit 500 --epochs 2 --batch_size 64 --learning_rate 0.0001 --ema_decay 0.95 --train#augmentation#resample_prob 1 --weights runs/base/model.pt --output_dir runs/tuned "$@"
python "$here/average_weights.py" runs/base/model.pt runs/tuned/model.pt --output runs/patches.pt
tumor-detection train --config_file train_dense.json train_patches.json --train_folders "['pcam/train']" --train_tables "['camelyon16_40x/labels.csv']" --train_limit 2048 --validation_folders "['pcam/valid']" --validation_limit 600 --field_size "[352, 352]" --picture_size 384 --mirror true --batch_size 32 --num_alone 1 --teacher runs/patches.pt --weights runs/patches.pt --epochs 5 --learning_rate 0.0001 --ema_decay 0.97 --train#augmentation#resample_prob 1 --output_dir runs/agreeing "$@"
tumor-detection train --config_file train_dense.json train_patches.json --train_folders "['pcam/train']" --train_tables "['camelyon16_40x/labels.csv']" --train_limit 2560 --seed 1 --validation_folders "['pcam/valid']" --validation_limit 600 --field_size "[352, 352]" --picture_size 384 --mirror true --batch_size 32 --num_alone 2 --teacher runs/patches.pt --weights runs/agreeing/model.pt --epochs 4 --val_interval 4 --learning_rate 0.00015 --ema_decay 0.97 --train#augmentation#resample_prob 1 --output_dir runs/last "$@"
tumor-detection train --config_file train_dense.json train_patches.json --train_folders "['pcam/train','pcam/extra','contiguous/40x','contiguous/40x','contiguous/40x']" --train_tables "['camelyon16_40x/labels.csv']" --table_repeats 3 --train_limit 5000 --validation_folders "['pcam/valid']" --validation_limit 300 --field_size "[352, 352]" --picture_size 384 --mirror true --batch_size 16 --num_alone 2 --agreement 0.5 --weights runs/last/model.pt --frozen "['features.0','features.1','features.4']" --epochs 1 --learning_rate 0.0001 --ema_decay 0.98 --output_dir runs/tissue "$@"
python "$here/average_weights.py" runs/last/model.pt runs/tissue/model.pt --output runs/model.pt
python "$here/describe_weights.py" runs/model.pt --folders pcam/train pcam/extra --tables camelyon16_40x/labels.csv
