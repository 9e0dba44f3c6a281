#!/bin/bash
# What plugin.sh does to nova.conf, and undoes. What is set is written down
# with what was there before, in $KVM_TUNING_STATE_DIR/nova.conf: a line has a
# section, an option, "was" or "is", and a value, with tabs between.

# kvm_tuning_values file section option: its values, one a line
function kvm_tuning_values {
    sed -n "/^\[$2\]/,/^\[.*\]/ s/^$3[ \t]*=[ \t]*//p" "$1"
}

# kvm_tuning_replace file section option [value ...]
# DevStack's iniset_multiline splits values at spaces; JSON has some.
function kvm_tuning_replace {
    local file=$1 section=$2 option=$3 each
    shift 3
    inidelete "$file" "$section" "$option"
    if (($#)) && ! grep -q "^\[$section\]" "$file"; then
        printf '\n[%s]\n' "$section" >>"$file"
    fi
    # Each goes right below the section's head: the last one first.
    for ((each = $#; each > 0; each--)); do
        iniadd_literal "$file" "$section" "$option" "${!each}"
    done
}

# kvm_tuning_set section option value ...: into nova.conf
function kvm_tuning_set {
    local section=$1 option=$2 value
    shift 2
    while read -r value; do
        kvm_tuning_note "$section" "$option" was "$value"
    done < <(kvm_tuning_values "$NOVA_CONF" "$section" "$option")
    for value in "$@"; do
        kvm_tuning_note "$section" "$option" is "$value"
    done
    kvm_tuning_replace "$NOVA_CONF" "$section" "$option" "$@"
}

# kvm_tuning_add section option value ...: below what others have set
function kvm_tuning_add {
    local section=$1 option=$2 there value values
    shift 2
    there=$(kvm_tuning_values "$NOVA_CONF" "$section" "$option")
    for value in "$@"; do
        if ! grep -qxF -e "$value" <<<"$there"; then
            there+=${there:+$'\n'}$value
        fi
    done
    mapfile -t values <<<"$there"
    kvm_tuning_set "$section" "$option" "${values[@]}"
}

# kvm_tuning_note section option was|is value
function kvm_tuning_note {
    printf '%s\t%s\t%s\t%s\n' "$@" >>"$KVM_TUNING_STATE_DIR/nova.conf"
}

# kvm_tuning_noted section option was|is: the values, one a line
function kvm_tuning_noted {
    awk -F '\t' -v section="$1" -v option="$2" -v kind="$3" \
        '$1 == section && $2 == option && $3 == kind { print $4 }' \
        "$KVM_TUNING_STATE_DIR/nova.conf"
}

# kvm_tuning_unpatch file: takes all of our lines out again, to the byte; fails
# where somebody has changed one of them since.
function kvm_tuning_unpatch {
    local file=$1 result
    local changes=$KVM_TUNING_STATE_DIR/nova.diff
    [[ -s $changes ]] || return 1
    result=$(mktemp)
    if patch --reverse --force --silent --fuzz=3 --reject-file=- \
        --output="$result" "$file" "$changes" >/dev/null 2>&1; then
        # It keeps its owner and mode.
        cat "$result" >"$file"
        rm -f "$result"
    else
        rm -f "$result"
        return 1
    fi
}

# kvm_tuning_restore file: puts back what is still as we have set it
function kvm_tuning_restore {
    local file=$1 section option before
    if [[ ! -r $KVM_TUNING_STATE_DIR/nova.conf || ! -w $file ]]; then
        return 0
    fi
    if kvm_tuning_unpatch "$file"; then
        return 0
    fi
    while IFS=$'\t' read -r section option; do
        if [[ "$(kvm_tuning_values "$file" "$section" "$option")" == \
            "$(kvm_tuning_noted "$section" "$option" is)" ]]; then
            mapfile -t before < <(kvm_tuning_noted "$section" "$option" was)
            kvm_tuning_replace "$file" "$section" "$option" "${before[@]}"
        fi
    done < <(cut -f 1,2 "$KVM_TUNING_STATE_DIR/nova.conf" | sort -u)
}

# kvm_tuning_with list element ...: a comma-separated list and what it lacks
function kvm_tuning_with {
    local list=$1 each
    shift
    for each in "$@"; do
        [[ ,$list, == *,$each,* ]] || list=${list:+$list,}$each
    done
    echo "$list"
}

# kvm_tuning_filters list: with our filter in place of NUMATopologyFilter
function kvm_tuning_filters {
    local list=,$1,
    if [[ $list != *,KvmTuningFilter,* ]]; then
        list=${list/,NUMATopologyFilter,/,KvmTuningFilter,}
    fi
    list=${list/,NUMATopologyFilter,/,}
    list=${list#,}
    kvm_tuning_with "${list%,}" KvmTuningFilter
}
