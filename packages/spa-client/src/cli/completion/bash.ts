import { SSH_OPTIONS_WITH_VALUE } from '../sshbh-options.ts';
import { type Grammar, quoteForSh } from './grammar.ts';

/** The script for bash, 3.2 (macOS) and later; it needs no bash-completion. */
export function bashCompletion({ verbs, regionVerbs, options, valueOptions }: Grammar): string {
  const words = (rows: readonly { readonly name: string }[]): string =>
    rows.map((row) => quoteForSh(row.name)).join(' ');
  return `# Completion of sshbh for bash. In ~/.bashrc:  eval "$(sshbh completion bash)"

# What is offered are words, and none is evaluated: not with compgen -W, which would expand what the rc file says.
_sshbh_offer() {
  local candidate quoted
  while IFS= read -r candidate; do
    printf -v quoted %q "$candidate"
    if [[ $candidate == "$_sshbh_cur"* || $quoted == "$_sshbh_cur"* ]]; then
      COMPREPLY+=("$_sshbh_user$quoted")
    fi
  done
}

_sshbh_regions() {
  local rc_file=$1
  [[ $rc_file == '~/'* ]] && rc_file=$HOME/\${rc_file:2}
  if [[ -n $rc_file ]]; then command sshbh list --names --rc-file "$rc_file" 2>/dev/null
  else command sshbh list --names 2>/dev/null; fi
}

# Names of ssh_config that are no patterns.
_sshbh_hosts() {
  local keyword rest names name
  [[ -r ~/.ssh/config ]] || return
  while read -r keyword rest; do
    [[ $keyword == [Hh][Oo][Ss][Tt] ]] || continue
    read -ra names <<< "$rest"
    for name in "\${names[@]}"; do [[ $name == *[!A-Za-z0-9._-]* ]] || printf '%s\\n' "$name"; done
  done < ~/.ssh/config
}

_sshbh_options() {
  local line pattern='^ +(-., )?(--[a-z0-9-]+)'
  while IFS= read -r line; do
    [[ $line =~ $pattern ]] && printf '%s\\n' "\${BASH_REMATCH[2]}"
  done < <(command sshbh "$1" --help 2>/dev/null)
}

_sshbh() {
  local line=\${COMP_LINE:0:COMP_POINT} words word last index
  local verb= region= host= value_of= command= rc_file=
  local ssh_value='^-[^-${SSH_OPTIONS_WITH_VALUE}]*[${SSH_OPTIONS_WITH_VALUE}]$'
  # What readline replaces: in alice@us-e only us-e, as long as @ is one of COMP_WORDBREAKS.
  local _sshbh_cur=$2 _sshbh_user=
  COMPREPLY=()
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  last=$((\${#words[@]} - 1))
  for ((index = 1; index < last; index++)); do
    word=\${words[index]}
    if [[ -n $value_of ]]; then
      [[ $value_of == --rc-file ]] && rc_file=$word
      value_of=
      continue
    fi
    case $word in
      --) [[ -n $region ]] && command=1 && break ;;
      --rc-file=*) rc_file=\${word#*=} ;;
      ${valueOptions.join('|')}) value_of=$word ;;
      -*) [[ $word =~ $ssh_value ]] && value_of=$word ;;
      *)
        if ((index == 1)); then
          case $word in ${verbs.map(({ name }) => name).join('|')}) verb=$word; continue ;; esac
        fi
        if [[ -z $region ]]; then region=$word; elif [[ -z $host ]]; then host=$word; else command=1; fi
        ;;
    esac
  done
  word=\${words[last]}
  if [[ $_sshbh_cur == *@* ]]; then
    _sshbh_user=\${_sshbh_cur%@*}@
    _sshbh_cur=\${_sshbh_cur##*@}
  fi

  if [[ -n $value_of || -n $command || $word == --*=* ]]; then
    compopt -o default 2>/dev/null
  elif [[ $word == -* && -n $verb ]]; then
    _sshbh_offer < <(_sshbh_options "$verb")
  elif [[ $word == -* ]]; then
    _sshbh_offer < <(printf '%s\\n' ${words(options)})
  elif [[ $verb == completion ]]; then
    [[ -n $region ]] || _sshbh_offer < <(printf '%s\\n' bash zsh fish)
  elif [[ -n $verb && -n $region ]]; then
    compopt -o default 2>/dev/null
  elif [[ -n $region ]]; then
    [[ -n $host ]] || _sshbh_offer < <(_sshbh_hosts)
  else
    case $verb in ${['', ...regionVerbs].map(quoteForSh).join(' | ')}) _sshbh_offer < <(_sshbh_regions "$rc_file") ;; esac
    if ((last == 1)) && [[ $word != *@* ]]; then
      _sshbh_offer < <(printf '%s\\n' ${words(verbs)})
    fi
  fi
}

complete -F _sshbh sshbh
`;
}
