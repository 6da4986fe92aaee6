#!/usr/bin/env bash
# Test the detectors of the first study under each single nuisance. Usage: run.sh DATA WORK
# WORK is where studies/first/run.sh left its detectors. Finished tables are kept; about three
# minutes each on one core. Then: python studies/nuisance/table.py
set -euo pipefail
data=$1
work=$2
here=$(cd "$(dirname "$0")" && pwd)

run() { # TASK MANIFEST SPLIT
  local table="$here/scores/$1.csv"
  [ -f "$table" ] && return
  mkdir -p "$here/scores"
  midclass nuisance "$work/$1/middle_class" --cohort "$data/$2" --split "$3" \
    --n 150 --seed 0 --out "$table" ||
    [ $? -eq 1 ] # some cases cannot be assessed
}

run chest_xray kermany_cxr/manifest.csv split
run head_ct ct_ich/manifest.csv splits.csv:repeat_0
run mammography_roi mini_mias/rois.csv repeat_0
