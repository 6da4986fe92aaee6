#!/usr/bin/env bash
# Fit and evaluate each task and its control with seed 0. Usage: run.sh DATA [WORK]
# Finished runs are kept, interrupted ones go on; about four minutes each on two cores.
set -euo pipefail
data=$1
work=${2:-runs/first}
here=$(cd "$(dirname "$0")" && pwd)

run() { # TASK DETECTOR RECIPE MANIFEST SPLIT
  local out="$work/$1/$2" table="$here/scores/$1/$2/0.csv"
  [ -f "$table" ] && return
  [ -d "$out" ] || midclass fit "$3" --cohort "$data/$4" --split "$5" --seed 0 --out "$out"
  midclass evaluate "$out" --cohort "$data/$4" --split "$5" --out "$out-test" --overwrite ||
    [ $? -eq 1 ] # some cases cannot be assessed
  mkdir -p "$(dirname "$table")"
  cp "$out-test/scores.csv" "$table"
}

tasks() { # DETECTOR SUFFIX
  run chest_xray "$1" "chest_xray$2" kermany_cxr/manifest.csv split
  run head_ct "$1" "head_ct$2" ct_ich/manifest.csv splits.csv:repeat_0
  run mammography_roi "$1" "mammography$2" mini_mias/rois.csv repeat_0
}

tasks middle_class ""
tasks middle_class_control "_control"
