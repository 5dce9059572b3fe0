# Our patches to wolfSSL: patches/VERSION/NN-name.patch, applied in the order of their numbers to the
# unpacked source. Each begins with what is wrong, why it matters here and what upstream has done.
# Sourced by deploy/deps, which has the functions of deploy/lib.sh.
# shellcheck shell=bash
# docs: docs/security/wolfssl.md

# patches_list DIR VERSION: prints the files for VERSION in order: its own folder's, or for a version
# that we do not know yet those of the newest folder that is older.
patches_list() {
    local have
    while read -r have; do
        dpkg --compare-versions "$have" le "$2" || continue
        find "$1/$have" -maxdepth 1 -name '[0-9][0-9]-*.patch' | LC_ALL=C sort
        return 0
    done < <(find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -rV)
}

# patches_content DIR: names and bytes of all patches, for the hash that tells builds apart.
patches_content() {
    local file
    while read -r file; do
        printf '%s\n' "${file#"$1"/}" && cat "$file"
    done < <(find "$1" -name '*.patch' | LC_ALL=C sort)
}

# patch_fits LOG SOURCE FILE [OPTION…]: would it apply?
patch_fits() {
    local log=$1 source=$2 file=$3
    shift 3
    log_run "$log" patch --directory="$source" --strip=1 --batch --dry-run --input="$file" "$@"
}

# patch_apply LOG SOURCE FILE pinned|newer: prints the patch's name when it went in. On a pinned
# version it goes in as it was written, or that is the end of the build. A newer version may hold the
# change already, or have changed around it: then the self-test at the programs' start decides.
patch_apply() {
    local log=$1 source=$2 file=$3 kind=$4 name=${3##*/} exact=()
    name=${name%.patch}
    [ "$kind" = newer ] || exact=(--fuzz=0)
    if patch_fits "$log" "$source" "$file" --forward "${exact[@]}"; then
        must_run "patch $name" "$log" patch --directory="$source" --strip=1 --batch --forward \
            --no-backup-if-mismatch --input="$file" "${exact[@]}"
        printf '%s\n' "$name"
    elif [ "$kind" = pinned ]; then
        die "patch $name does not apply to this version of wolfSSL, which is pinned:" \
            "mend $file (what patch says is in $log)"
    elif patch_fits "$log" "$source" "$file" --reverse; then
        say "patch $name is in this version of wolfSSL already, skipped" >&2
    else
        warn "patch $name does not apply to this version of wolfSSL and is left out;" \
            "the programs test their cryptography when they start"
    fi
}

# patches_apply LOG DIR SOURCE VERSION pinned|newer: prints the names of those that went in.
patches_apply() {
    local log=$1 dir=$2 source=$3 version=$4 kind=$5 file
    while read -r file; do
        patch_apply "$log" "$source" "$file" "$kind"
    done < <(patches_list "$dir" "$version")
}

# patches_header NAMES: the header by which the programs know what was patched.
patches_header() {
    printf '%s\n' '/* Made by deploy/deps: our patches in this build of wolfSSL. */' \
        '#ifndef SPINDLE_WOLFSSL_PATCHES' "#define SPINDLE_WOLFSSL_PATCHES \"$(xargs <<<"$1")\"" '#endif'
}
