/**
 * What runs on a bastion, in `sh`, for `push`, `revoke`, `sign` and enrolment: always this text. What is to be done comes on its
 * standard input: lines "WORD VALUE", an empty line, for the task `install` a tape archive of the release, and for `certify` the
 * certificates.
 *
 *     FOLDER/secret/             the bastion's own GnuPG home: made here, read by nobody else, never replaced
 *     FOLDER/releases/RELEASE/   what a push brought: access.conf, keyring.asc, ... and for stock fwknopd the GnuPG home
 *     FOLDER/current             a symbolic link to the release in force, changed by one rename
 *
 * It says what it did on stdout, one line a fact, and what is wrong on stderr, and ends with: 0, 3 (an older roster), 4 (done, but
 * the daemon was not told), 64 (not understood), 75 (another run is at it), 78 (what came is wrong, and the old is in force).
 *
 * It goes to the far shell as one quoted word: no single quote and no backslash may be in it.
 */
export const INSTALLER: string = `
set -eu
umask 077
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

die() { code=$1; shift; echo "$*" >&2; exit "$code"; }

echo "spa-keys installer 1"
task= folder= config= daemon= program= known= algorithm=ecc release= version= bastion= user_id= expires= first= operators= authority= key= exportable= subjects=
while IFS= read -r line; do
  case $line in
    "") break ;;
    "task "*) task=\${line#* } ;;
    "folder "*) folder=\${line#* } ;;
    "config "*) config=\${line#* } ;;
    "daemon "*) daemon=\${line#* } ;;
    "program "*) program=\${line#* } ;;
    "algorithm "*) algorithm=\${line#* } ;;
    "known "*) known="$known \${line#* }" ;;
    "release "*) release=\${line#* } ;;
    "version "*) version=\${line#* } ;;
    "user-id "*) user_id=\${line#* } ;;
    "expires "*) expires=\${line#* } ;;
    "first "*) first=\${line#* } ;;
    "authority "*) authority=\${line#* } ;;
    "operator "*) operators="$operators \${line#* }" ;;
    "key "*) key=\${line#* } ;;
    "exportable "*) exportable=\${line#* } ;;
    "subject "*) subjects="$subjects\${line#* }
" ;;
    *) die 64 "this installer does not know: $line" ;;
  esac
done
program=\${program:-/$daemon}
for path in "$folder" "$config" "$program"; do
  case $path in
    *[!A-Za-z0-9/._-]* | *..*) die 64 "$path is no plain path" ;;
    /*) ;;
    *) die 64 "$path is no absolute path" ;;
  esac
done
case $daemon in spa-server | fwknopd) ;; *) die 64 "which daemon?" ;; esac
case $release in *[!0-9a-f-]*) die 64 "$release is no release" ;; esac
case $version in *[!0-9]*) die 64 "$version is no version" ;; esac
case $expires in *[!0-9]*) die 64 "$expires is no time" ;; esac
case $authority in *[!0-9A-F," "]*) die 64 "$authority is no fingerprint" ;; esac
case $operators in *[!0-9A-F" "]*) die 64 "$operators is no fingerprint" ;; esac
case $known in *[!0-9A-F" "]*) die 64 "$known is no fingerprint" ;; esac
case $key in *[!0-9A-F]*) die 64 "$key is no fingerprint" ;; esac
test "$program" = "/$daemon" && program=$daemon
test "$task" = enrol || test "$task" = certify || command -v "$program" >/dev/null || die 78 "$program is not installed here"

for path in "$folder" "$folder/releases" "$folder/secret"; do
  mkdir -p "$path"
  chmod 700 "$path"
done
cd "$folder"
exec 9>lock
flock -n 9 || die 75 "another run is at work in $folder"

current=$(readlink current || true)
current=\${current#releases/}

# An agent or a daemon that stays would hold the lock for ever.
tell() { "$program" "$@" 9>&-; }
gpg_in() { gpg --batch --quiet --no-permission-warning --utf8-strings --pinentry-mode loopback --passphrase "" --homedir "$@" 9>&-; }
secret_gpg() { gpg_in "$folder/secret" "$@"; }
own_keys() { secret_gpg --with-colons --list-secret-keys 2>/dev/null | grep -A1 "^sec:" | grep "^fpr:" | cut -d: -f10; }
end_agents() { gpgconf --homedir "$1" --kill all >/dev/null 2>&1 9>&- || true; }

# spa-server reads a file, and only this folder has the key.
write_key_files() {
  for key in $(own_keys); do
    test -s "secret/$key.asc" && continue
    secret_gpg --armor --export-secret-keys "$key" >"secret/.$key.new"
    mv "secret/.$key.new" "secret/$key.asc"
  done
  end_agents "$folder/secret"
}

# What the daemon will read after the swap: the same configuration, with the release for what is in force.
daemon_accepts() {
  check=releases/$1/.check.conf
  sed "s#$folder/current/#$folder/releases/$1/#g" "$2" >"$check"
  tell --exit-parse-config -c "$check" -a "$folder/releases/$1/access.conf" >"$check.said" 2>&1 && { rm -f "$check" "$check.said"; return 0; }
  echo "$daemon refuses the new files, the old ones stay in force:" >&2
  cat "$check.said" >&2
  rm -f "$check" "$check.said"
  return 1
}

# Stock fwknopd asks gpg, so gpg is asked before it is too late: is every operator known and certified, is the own key there?
gpg_accepts() {
  ask() { gpg --homedir "$ring" --batch --quiet --no-autostart --no-permission-warning --with-colons --with-keygrip --list-keys "$@" 9>&-; }
  ring=$1
  valid=" $(ask | while IFS=: read -r kind validity a b c d e f g field rest; do
    case $kind in
      pub) fit=$validity; part=primary ;;
      sub) part=sub ;;
      fpr) test $part = primary && case $fit in [fmu]) echo "$field" ;; esac; part=done ;;
    esac
  done | tr "[:space:]" " ") "
  missing=$(grep "^GPG_FINGERPRINT_ID " "$2" | while read -r word key; do
    case $valid in *" $key "*) ;; *) echo "$key" ;; esac
  done)
  test -z "$missing" || { echo "gpg here does not believe in" $missing "(not certified, or expired)" >&2; return 1; }
  own=$(grep "^GPG_DECRYPT_ID " "$2" | cut -d" " -f2 | sort -u)
  test -n "$own" || return 0
  for grip in $(ask $own | grep "^grp:" | cut -d: -f10); do
    test -s "secret/private-keys-v1.d/$grip.key" && return 0
  done
  echo "the secret key of this bastion is not in $folder/secret" >&2
  return 1
}

swap_to() {
  echo "$1" >reload-needed
  sync
  rm -f .current.*
  ln -s "releases/$1" ".current.$$"
  mv -T ".current.$$" current
  sync
}

# A path of the daemon configuration, as it says itself.
path_of() { tell -D -c "$config" 2>/dev/null | grep -E "(^| )$1[ :]" | head -n1 | sed -e "s#^[^/]*##" -e "s#[^A-Za-z0-9/._-].*##"; }

# Stock fwknopd does not find itself any more (-S, -R) once it has read its configuration anew: its pid file still names it.
running() {
  if test "$daemon" = spa-server; then
    tell -S -c "$config" >/dev/null 2>&1
    return
  fi
  pid=$(cat "$(path_of FWKNOP_PID_FILE)" 2>/dev/null || true)
  case $pid in "" | *[!0-9]*) return 1 ;; esac
  test "$(cat "/proc/$pid/comm" 2>/dev/null)" = fwknopd
}

reload() {
  if running; then
    if test "$daemon" = spa-server; then
      tell -R -c "$config" >.reload 2>&1 || { cat .reload >&2; die 4 "spa-server could not be told; restart it"; }
    else
      kill -HUP "$pid" || die 4 "fwknopd could not be told; restart it"
      # As a UDP server it ends when it is told.
      sleep 1
      running || die 4 "fwknopd ended when it was told; start it again"
    fi
    echo "reloaded $daemon"
  else
    echo "stopped $daemon"
  fi
  rm -f reload-needed
}

says() { grep -E "^$1[[:space:]:]+$2[[:space:]]*$" "$config" >/dev/null 2>&1; }

# The file that the daemon reads belongs to whoever runs the host: it is changed only when that was asked for.
edited_config() {
  if test "$first" = yes; then
    {
      test -e "$config" && sed -e "s/^ACCESS_FILE/# &/" -e "s/^SPA_ROSTER/# &/" "$config"
      echo "ACCESS_FILE $folder/current/access.conf"
      if test -e "$1/roster.json"; then
        echo "SPA_ROSTER $folder/current/roster.json"
        echo "SPA_ROSTER_SIGNER_CERT_FILE $folder/authority.asc"
        echo "SPA_ROSTER_SIGNER $authority"
      fi
    } >"$config.new"
    echo "$config.new"
  else
    echo "$config"
  fi
}
take_config() {
  if test "$first" = yes; then
    test -e "$config" && { test -e "$config.before-spa-keys" || cp -p "$config" "$config.before-spa-keys"; }
    mv "$config.new" "$config"
  fi
  says ACCESS_FILE "$folder/current/access.conf" || echo "unused $config does not say: ACCESS_FILE $folder/current/access.conf"
  test -e current/roster.json || return 0
  says SPA_ROSTER "$folder/current/roster.json" || echo "unused $config does not say: SPA_ROSTER $folder/current/roster.json"
}

remove_old() {
  keep=$(cat "releases/$1/previous" 2>/dev/null || true)
  for path in releases/*; do
    name=\${path#releases/}
    case $name in "$1" | "$keep" | "*") continue ;; esac
    end_agents "$folder/$path/gnupg"
    rm -rf "$path"
  done
}

case $task in
show)
  echo "release $current"
  test -n "$current" || exit 0
  echo "previous $(cat "releases/$current/previous" 2>/dev/null || true)"
  grep -v "^HMAC_KEY" "releases/$current/access.conf"
  ;;
enrol)
  test -n "$user_id" || die 64 "a key for whom?"
  # One that is younger than those that are known was made by a run that could not say so.
  made=
  for key in $(own_keys); do
    case " $known " in *" $key "*) made= ;; *) made=$key ;; esac
  done
  case $algorithm in
    ecc) primary=ed25519 subkey=cv25519 ;;
    rsa3072) primary=rsa3072 subkey=rsa3072 ;;
    *) die 64 "$algorithm is no algorithm" ;;
  esac
  end=0
  test -z "$expires" || end=seconds=$((expires - $(date +%s)))
  if test -z "$made"; then
    made=$(secret_gpg --yes --status-fd 1 --quick-generate-key -- "$user_id" "$primary" cert,sign "$end" 2>.gpg | grep KEY_CREATED | cut -d" " -f4)
    test -n "$made" || { cat .gpg >&2; die 78 "gpg makes no key"; }
  fi
  secret_gpg --with-colons --list-secret-keys "$made" | grep -q "^ssb:" ||
    secret_gpg --quick-add-key "$made" "$subkey" encrypt "$end" 2>.gpg || { cat .gpg >&2; die 78 "gpg makes no key"; }
  write_key_files
  echo "fingerprint $made"
  secret_gpg --armor --export "$made"
  end_agents "$folder/secret"
  ;;
certify)
  case " $(own_keys | tr "[:space:]" " ") " in
    *" \${key:-none} "*) ;;
    *) die 78 "the secret key $key of this bastion is not in $folder/secret" ;;
  esac
  # In a home of its own: whom the bastion certifies it need not know for ever, and what it certified before is no obstacle.
  rm -rf .certify-*
  ring=$folder/$(mktemp -d .certify-XXXXXX)
  trap "end_agents $ring; rm -rf $ring" EXIT
  ln -s "$folder/secret/private-keys-v1.d" "$ring/private-keys-v1.d"
  cat >"$ring/subjects.asc"
  secret_gpg --export "$key" >"$ring/own.gpg" && gpg_in "$ring" --import "$ring/own.gpg" "$ring/subjects.asc" 2>.gpg &&
    echo "$key:6:" | gpg_in "$ring" --import-ownertrust 2>.gpg || { cat .gpg >&2; die 78 "gpg refuses the keys"; }
  how=--quick-sign-key
  test "$exportable" = no && how=--quick-lsign-key
  printf %s "$subjects" | while read -r subject expires user_id; do
    case $subject$expires in "" | *[!0-9A-F]*) die 64 "$subject $expires is no subject" ;; esac
    end=0
    test "$expires" = 0 || end=seconds=$((expires - $(date +%s)))
    if gpg_in "$ring" --local-user "$key" --cert-digest-algo SHA512 --default-cert-expire "$end" "$how" -- "$subject" "=$user_id" >.gpg 2>&1 </dev/null; then
      echo "certified $subject"
    else
      echo "refused $subject $(grep "^gpg: " .gpg | tail -n1)"
    fi
  done
  gpg_in "$ring" --armor --export-options export-local-sigs --export $(printf %s "$subjects" | cut -d" " -f1)
  end_agents "$folder/secret"
  ;;
install)
  test -n "$release" && test -n "$version" || die 64 "which release?"
  have=\${current%%-*}
  if test -n "$have" && test "$version" -lt "$have"; then
    die 3 "version $version of the roster is older than $have, which is in force here"
  fi
  if test "$release" = "$current"; then
    echo "unchanged $release"
    test "$first" = yes && edited_config "releases/$release" >/dev/null
    take_config
    if test -e reload-needed; then reload; fi
    remove_old "$release"
    exit 0
  fi
  rm -rf releases/.draft-*
  draft=$(mktemp -d releases/.draft-XXXXXX)
  trap "rm -rf $folder/$draft" EXIT
  tar -xf - --no-same-owner -C "$draft" || die 78 "what came is not whole; the old release stays in force"
  (cd "$draft" && sha256sum --quiet --strict --check MANIFEST) >&2 ||
    die 78 "what came is not what was sent; the old release stays in force"
  if test -e "$draft/secret-key.asc"; then
    secret_gpg --import "$draft/secret-key.asc" 2>.gpg || { cat .gpg >&2; die 78 "gpg refuses the secret key"; }
    rm -f "$draft/secret-key.asc"
  fi
  test "$daemon" = fwknopd || write_key_files
  if test "$daemon" = fwknopd; then
    home=$folder/$draft/gnupg
    mkdir "$home"
    mkdir -p secret/private-keys-v1.d
    ln -s "$folder/secret/private-keys-v1.d" "$home/private-keys-v1.d"
    ring() { gpg --homedir "$home" --batch --quiet --no-autostart --no-permission-warning "$@" 9>&-; }
    ring --import-options import-local-sigs --import "$draft/keyring.asc" 2>.gpg &&
      ring --import-ownertrust "$draft/ownertrust.txt" 2>.gpg &&
      ring --check-trustdb 2>.gpg || { cat .gpg >&2; die 78 "gpg refuses the keys; the old release stays in force"; }
    gpg_accepts "$home" "$draft/access.conf" || die 78 "the old release stays in force"
    end_agents "$home"
  fi
  rm -rf "releases/$release"
  mv "$draft" "releases/$release"
  end_agents "$folder/secret"
  if test -e "releases/$release/authority.asc"; then
    # Whom the host believes is settled on the first day, and not by those who come later.
    if test "$first" = yes || test ! -e authority.asc; then cp "releases/$release/authority.asc" authority.asc; fi
  fi
  daemon_accepts "$release" "$(edited_config "releases/$release")" || { rm -rf "releases/$release" "$config.new"; exit 78; }
  echo "$current" >"releases/$release/previous"
  swap_to "$release"
  echo "installed $release"
  take_config
  reload
  remove_old "$release"
  ;;
rollback)
  test -n "$current" || die 78 "nothing was ever pushed here"
  previous=$(cat "releases/$current/previous" 2>/dev/null || true)
  test -n "$previous" && test -e "releases/$previous/access.conf" || die 78 "there is no release before $current here"
  # Our daemon goes back to no older roster by itself; this is somebody who says so.
  state=
  if test "$daemon" = spa-server; then
    state=$(path_of REPLAY_STORE)-roster.json
    case $state in /*) test -e "$state" && mv "$state" "$state.before-rollback" ;; esac
  fi
  daemon_accepts "$previous" "$config" || { test ! -e "$state.before-rollback" || mv "$state.before-rollback" "$state"; exit 78; }
  swap_to "$previous"
  echo "installed $previous"
  reload
  ;;
cut)
  test -n "$operators" || die 64 "whose doors?"
  running || { echo "stopped $daemon"; exit 0; }
  if test "$daemon" = fwknopd; then
    tell --fw-flush -c "$config" >.cut 2>&1 || { cat .cut >&2; die 4 "fwknopd did not flush its chains"; }
    echo "flushed"
  else
    for key in $operators; do
      tell --revoke "operator=$key" --cut -c "$config" >.cut 2>&1 || { cat .cut >&2; die 4 "the doors of $key may be open"; }
      sed "s/^/cut /" .cut
    done
  fi
  ;;
*) die 64 "this installer does not know the task $task" ;;
esac
`;
