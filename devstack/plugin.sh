#!/bin/bash
# DevStack calls this with a mode and a phase: see README.rst, and "Plugins" in
# DevStack's documentation.

_XTRACE_KVM_TUNING=$(set +o | grep xtrace)
set +o xtrace

KVM_TUNING_DRIVER=kvm_tuning.KvmTuningDriver
KVM_TUNING_ADAPTER=kvm_tuning.adapters.nova
KVM_TUNING_FILTER=$KVM_TUNING_ADAPTER.scheduler_filter.KvmTuningFilter
KVM_TUNING_WEIGHER=$KVM_TUNING_ADAPTER.scheduler_weigher.KvmTuningWeigher
KVM_TUNING_ROOTWRAP=kvm-tuning.filters

source "$KVM_TUNING_DIR/devstack/files/nova-conf.sh"

# The host
# --------

# kvm_tuning_expand cpus: "0,2-3" as numbers, one a line
function kvm_tuning_expand {
    local part
    for part in ${1//,/ }; do
        seq "${part%-*}" "${part#*-}"
    done
}

# kvm_tuning_without cpus cpus: the first but the second ones
function kvm_tuning_without {
    local left
    left=$(grep -vxF "$(kvm_tuning_expand "$2")" \
        <<<"$(kvm_tuning_expand "$1")" || true)
    echo "${left//$'\n'/,}"
}

# kvm_tuning_cpus directory: sets dedicated and shared where nobody has said
# which. The first online core is shared, all others are for pinned guests; a
# host of one core is left to Nova.
function kvm_tuning_cpus {
    local online first
    online=$(cat "$1/online")
    if [[ $dedicated$shared == autoauto ]]; then
        first=${online%%[,-]*}
        shared=$(cat "$1/cpu$first/topology/thread_siblings_list")
        if [[ -z $(kvm_tuning_without "$online" "$shared") ]]; then
            shared=none
        fi
    fi
    case $dedicated,$shared in
        none,auto) shared=none ;;
        auto,none) dedicated=none ;;
        auto,*) dedicated=$(kvm_tuning_without "$online" "$shared") ;;
        *,auto) shared=$(kvm_tuning_without "$online" "$dedicated") ;;
    esac
}

# kvm_tuning_made path ...: notes those that are about to be made
function kvm_tuning_made {
    local name
    for name in "$@"; do
        if ! sudo test -e "$name"; then
            echo "$name" >>"$KVM_TUNING_STATE_DIR/made"
        fi
    done
}

# The options of local.conf for our own files. DevStack merges them, too, but
# after this phase, and host-prep needs them in it.
function kvm_tuning_configure_host {
    local name
    touch "$KVM_TUNING_STATE_DIR/host"
    kvm_tuning_made "$KVM_TUNING_JOURNAL_DIR"{,/lock}
    sudo install -d -o "$STACK_USER" "$KVM_TUNING_CONF_DIR" \
        "$(dirname "$KVM_TUNING_CONF")"
    rm -f "$KVM_TUNING_CONF"
    for name in $(get_meta_section_files "$TOP_DIR/local.conf" post-config); do
        if [[ $(eval "echo $name") == "$KVM_TUNING_CONF_DIR"/* ]]; then
            merge_config_file "$TOP_DIR/local.conf" post-config "$name"
        fi
    done
}

function kvm_tuning_prepare_host {
    case $KVM_TUNING_HOST_PREP in
        plan)
            if ! sudo "$KVM_TUNING_BIN" host plan; then
                echo 'kvm-tuning: host apply would refuse this, see above'
            fi
            ;;
        apply)
            if ! sudo "$KVM_TUNING_BIN" host apply --wait 30; then
                die $LINENO 'kvm-tuning host apply has failed, see above'
            fi
            if ! sudo "$KVM_TUNING_BIN" host ready; then
                echo 'kvm-tuning: the host needs more (a reboot?), see above'
            fi
            ;;
    esac
}

function kvm_tuning_install_hooks {
    local status=0
    sudo "$KVM_TUNING_BIN" host hooks install --program "$KVM_TUNING_BIN" \
        --detailed-exit-codes || status=$?
    case $status in
        0) ;;
        # libvirt looks for hook scripts when it starts.
        4) restart_service libvirtd ;;
        *) die $LINENO 'kvm-tuning host hooks install has failed, see above' ;;
    esac
}

# Phases
# ------

function kvm_tuning_check {
    local cpus
    case $KVM_TUNING_HOST_PREP in
        off | plan | apply) ;;
        *)
            die $LINENO "KVM_TUNING_HOST_PREP=$KVM_TUNING_HOST_PREP:" \
                'want off, plan or apply'
            ;;
    esac
    for cpus in "$KVM_TUNING_CPU_DEDICATED_SET" \
        "$KVM_TUNING_CPU_SHARED_SET"; do
        if [[ ! $cpus =~ ^(auto|none|[0-9]+([,-][0-9]+)*)$ ]]; then
            die $LINENO "KVM_TUNING_CPU_*_SET=$cpus: want auto, none or" \
                'CPUs like 2-7,10-15'
        fi
    done
    if is_service_enabled n-cpu && [[ $VIRT_DRIVER != libvirt ]]; then
        die $LINENO "VIRT_DRIVER=$VIRT_DRIVER: kvm-tuning wants libvirt"
    fi
    if ! "${PYTHON:-python3}" -c \
        'import sys; sys.exit(sys.version_info < (3, 11))'; then
        die $LINENO 'kvm-tuning wants Python 3.11 or later'
    fi
}

function kvm_tuning_install {
    if [[ -n $KVM_TUNING_PACKAGE ]]; then
        pip_install "$KVM_TUNING_PACKAGE"
    else
        setup_develop "$KVM_TUNING_DIR" cloud
    fi
}

function kvm_tuning_configure_compute {
    local fragment section option value key values set
    local dedicated=$KVM_TUNING_CPU_DEDICATED_SET
    local shared=$KVM_TUNING_CPU_SHARED_SET
    local -A found=()
    fragment=$("$KVM_TUNING_BIN" host fragment -f value)
    while read -r section option value; do
        if [[ $option == cpu_*_set ]]; then
            if [[ $dedicated$shared == autoauto ]]; then
                found[$section $option]=$value
            fi
        elif [[ -n $value ]]; then
            found[$section $option]+=${found[$section $option]:+$'\n'}$value
        fi
    done <<<"$fragment"
    if [[ -z ${found[compute cpu_dedicated_set]:-} ]]; then
        kvm_tuning_cpus /sys/devices/system/cpu
        found[compute cpu_dedicated_set]=${dedicated/#none/}
        found[compute cpu_shared_set]=${shared/#none/}
    fi
    for key in "${!found[@]}"; do
        if [[ -n ${found[$key]} ]]; then
            mapfile -t values <<<"${found[$key]}"
            set=kvm_tuning_set
            # Another plugin may have devices of its own.
            if [[ $key == pci\ * ]]; then
                set=kvm_tuning_add
            fi
            $set "${key% *}" "${key#* }" "${values[@]}"
        fi
    done
    kvm_tuning_set DEFAULT compute_driver "$KVM_TUNING_DRIVER"
    sudo install -m 644 \
        "$KVM_TUNING_DIR/etc/kvm_tuning/rootwrap.d/$KVM_TUNING_ROOTWRAP" \
        "$NOVA_CONF_DIR/rootwrap.d/$KVM_TUNING_ROOTWRAP"
}

function kvm_tuning_configure_scheduler {
    local section=filter_scheduler available weighers
    mapfile -t available \
        < <(kvm_tuning_values "$NOVA_CONF" $section available_filters)
    if [[ ${#available[@]} == 0 ]]; then
        available=(nova.scheduler.filters.all_filters)
    fi
    if [[ " ${available[*]} " != *" $KVM_TUNING_FILTER "* ]]; then
        available+=("$KVM_TUNING_FILTER")
    fi
    kvm_tuning_set $section available_filters "${available[@]}"
    kvm_tuning_set $section enabled_filters "$(kvm_tuning_filters \
        "$(iniget "$NOVA_CONF" $section enabled_filters)")"
    # A list, where available_filters is one value a line.
    weighers=$(iniget "$NOVA_CONF" $section weight_classes)
    kvm_tuning_set $section weight_classes "$(kvm_tuning_with \
        "${weighers:-nova.scheduler.weights.all_weighers}" \
        "$KVM_TUNING_WEIGHER")"
}

# nova-compute and nova-scheduler start after this phase, and nova-compute gets
# a copy of nova.conf. nova-api finds the validators by their entry point.
function kvm_tuning_configure {
    mkdir -p "$KVM_TUNING_STATE_DIR"
    if is_service_enabled n-cpu; then
        kvm_tuning_configure_host
        kvm_tuning_prepare_host
        if [[ $KVM_TUNING_HOST_HOOKS == True ]]; then
            kvm_tuning_install_hooks
        fi
    fi
    # What an earlier run has set is not what was there before.
    kvm_tuning_restore "$NOVA_CONF"
    rm -f "$KVM_TUNING_STATE_DIR"/nova.{conf,diff}
    cp "$NOVA_CONF" "$KVM_TUNING_STATE_DIR/nova.before"
    if is_service_enabled n-cpu; then
        kvm_tuning_configure_compute
    fi
    if is_service_enabled n-sch; then
        kvm_tuning_configure_scheduler
    fi
    diff -u "$KVM_TUNING_STATE_DIR/nova.before" "$NOVA_CONF" \
        >"$KVM_TUNING_STATE_DIR/nova.diff" || true
    rm -f "$KVM_TUNING_STATE_DIR/nova.before"
}

# A flavor that is there keeps its size, and gets exactly the file's extra
# specs.
function kvm_tuning_create_flavors {
    local files file cloud
    if [[ $KVM_TUNING_FLAVORS == none ]]; then
        return 0
    fi
    cloud=(--os-cloud "$KVM_TUNING_CLOUD"
        ${KVM_TUNING_VF_ALIAS:+--alias "$KVM_TUNING_VF_ALIAS"})
    # Patterns, and a word for one of them
    files=" $KVM_TUNING_FLAVORS "
    files=${files/ sample / $KVM_TUNING_DIR/devstack/files/flavors/*.yaml }
    # shellcheck disable=SC2086
    for file in $files; do
        if [[ ! -r $file ]]; then
            die $LINENO "KVM_TUNING_FLAVORS: no such file: $file"
        fi
        "$KVM_TUNING_BIN" flavor create --from "$file" --keep "${cloud[@]}"
        "$KVM_TUNING_BIN" flavor push "$file" --prune "${cloud[@]}"
    done
}

# local.conf has the last word on these, and may have forgotten us.
function kvm_tuning_verify {
    local now
    if is_service_enabled n-cpu; then
        now=$(iniget "$NOVA_CPU_CONF" DEFAULT compute_driver)
        if [[ $now != "$KVM_TUNING_DRIVER" ]]; then
            echo "WARNING: compute_driver is $now in $NOVA_CPU_CONF, so" \
                'kvm-tuning does nothing here; does local.conf set it?'
        fi
    fi
    if is_service_enabled n-sch; then
        now=$(iniget "$NOVA_CONF" filter_scheduler enabled_filters)
        if [[ ,$now, != *,KvmTuningFilter,* ]]; then
            echo "WARNING: enabled_filters is $now in $NOVA_CONF, without" \
                'KvmTuningFilter; does local.conf set it?'
        fi
    fi
}

function kvm_tuning_configure_tempest {
    iniset "$TEMPEST_CONFIG" compute-feature-enabled \
        scheduler_enabled_filters \
        "$(iniget "$NOVA_CONF" filter_scheduler enabled_filters)"
}

# Whether the plugin has worked on this host. clean.sh removes what says so
# besides the journal.
function kvm_tuning_has_host {
    [[ -e $KVM_TUNING_STATE_DIR/host ]] || {
        [[ ! -d $KVM_TUNING_STATE_DIR && -e $KVM_TUNING_CONF ]] &&
            sudo test -e "$KVM_TUNING_JOURNAL_DIR/journal.json"
    }
}

# Undoes what is there, whatever services local.conf enables by now: it may
# have lost them since. Fails when some of the host stays as it is.
function kvm_tuning_unstack {
    local status=0
    if kvm_tuning_has_host; then
        if [[ -x $KVM_TUNING_BIN ]]; then
            sudo "$KVM_TUNING_BIN" host hooks remove || status=1
            sudo "$KVM_TUNING_BIN" host undo || status=1
        else
            echo "kvm-tuning: $KVM_TUNING_BIN is gone, and has worked on" \
                'this host'
            status=1
        fi
    fi
    sudo rm -f "$NOVA_CONF_DIR/rootwrap.d/$KVM_TUNING_ROOTWRAP"
    kvm_tuning_restore "$NOVA_CONF"
    kvm_tuning_restore "$NOVA_CPU_CONF"
    if [[ $status == 0 ]]; then
        kvm_tuning_forget
    fi
    return $status
}

# What was kept to undo things by, once all is undone
function kvm_tuning_forget {
    local name
    if [[ -r $KVM_TUNING_STATE_DIR/made ]]; then
        while read -r name; do
            sudo rm -rf "$name"
        done <"$KVM_TUNING_STATE_DIR/made"
    fi
    # DevStack makes it from local.conf, also where the plugin is idle.
    sudo rm -f "$KVM_TUNING_CONF"
    # Only what is empty
    sudo rmdir "$(dirname "$KVM_TUNING_CONF")" "$KVM_TUNING_CONF_DIR" \
        2>/dev/null || true
    rm -rf "$KVM_TUNING_STATE_DIR"
}

function kvm_tuning_clean {
    if ! kvm_tuning_unstack; then
        echo 'kvm-tuning: not all of the host is as it was, see above. Its' \
            'journal and its configuration stay; clean.sh removes the' \
            'environment: to go on, install the package into another one,' \
            'and run "kvm-tuning host undo" there'
        return 0
    fi
    # pip_uninstall does not know of the global environment.
    if [[ $GLOBAL_VENV == True && -d $DEVSTACK_VENV ]]; then
        PIP_VIRTUAL_ENV=$DEVSTACK_VENV pip_uninstall kvm-tuning
    else
        pip_uninstall kvm-tuning
    fi
}

function kvm_tuning_phase {
    case "$*" in
        'stack pre-install')
            kvm_tuning_check
            ;;
        'stack install')
            echo_summary 'Installing kvm-tuning'
            kvm_tuning_install
            ;;
        'stack post-config')
            echo_summary 'Configuring kvm-tuning'
            kvm_tuning_configure
            ;;
        'stack extra')
            kvm_tuning_verify
            if is_service_enabled n-api; then
                echo_summary 'Creating flavors of kvm-tuning'
                kvm_tuning_create_flavors
            fi
            ;;
        'stack test-config')
            if is_service_enabled tempest && is_service_enabled n-sch; then
                kvm_tuning_configure_tempest
            fi
            ;;
    esac
}

case "$1 ${2:-}" in
    'unstack ')
        if ! kvm_tuning_unstack; then
            echo 'kvm-tuning: not all of the host is as it was, see above;' \
                'clean.sh tries again, when no guest runs'
        fi
        ;;
    'clean ')
        kvm_tuning_clean
        ;;
    *)
        if is_service_enabled kvm-tuning && is_service_enabled nova; then
            kvm_tuning_phase "$@"
        elif [[ $* == 'stack pre-install' && -e $KVM_TUNING_STATE_DIR ]]; then
            # It was enabled when stack.sh ran before.
            if ! kvm_tuning_unstack; then
                die $LINENO 'kvm-tuning is disabled, and not all that it has' \
                    'done to this host can be undone, see above'
            fi
        fi
        ;;
esac

$_XTRACE_KVM_TUNING
