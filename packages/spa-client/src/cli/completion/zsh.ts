import { SSH_OPTIONS_WITH_VALUE } from '../sshbh-options.ts';
import { type Grammar, quoteForSh } from './grammar.ts';

/** The script for zsh: to be evaluated after compinit, or as file `_sshbh` of the fpath. */
export function zshCompletion({ verbs, regionVerbs, options, valueOptions }: Grammar): string {
  const described = (rows: readonly { readonly name: string; readonly help: string }[]): string =>
    rows.map(({ name, help }) => `    ${quoteForSh(`${name}:${help}`)}`).join('\n');
  return `#compdef sshbh
# Completion of sshbh for zsh. In ~/.zshrc, after compinit:  eval "$(sshbh completion zsh)"

# compadd takes words as they are and quotes them where they are put in.
_sshbh_regions() {
  local rc_file=$1 expl
  local -a regions
  [[ $rc_file == '~/'* ]] && rc_file=$HOME/\${rc_file[3,-1]}
  regions=("\${(@f)$(command sshbh list --names \${rc_file:+--rc-file} \${rc_file:+"$rc_file"} 2>/dev/null)}")
  regions=("\${(@)regions:#}")
  compset -P '*@'
  _wanted regions expl region compadd -a -- regions
}

# Names of ssh_config that are no patterns.
_sshbh_hosts() {
  local keyword rest name expl
  local -a found
  [[ -r ~/.ssh/config ]] || return
  while read -r keyword rest; do
    [[ \${keyword:l} == host ]] || continue
    for name in \${=rest}; do [[ $name == *[^A-Za-z0-9._-]* ]] || found+=("$name"); done
  done < ~/.ssh/config
  compset -P '*@'
  _wanted hosts expl host compadd -a -- found
}

_sshbh_options() {
  local line expl
  local -a found match mbegin mend
  for line in "\${(@f)$(command sshbh "$1" --help 2>/dev/null)}"; do
    [[ $line =~ '^ +(-., )?(--[a-z0-9-]+)' ]] && found+=("$match[2]")
  done
  _wanted options expl option compadd -a -- found
}

_sshbh() {
  local word verb region host value_of after rc_file ret=1
  local ssh_value='^-[^-${SSH_OPTIONS_WITH_VALUE}]*[${SSH_OPTIONS_WITH_VALUE}]$'
  local -a match mbegin mend
  integer index
  local -a verbs=(
${described(verbs)}
  )
  local -a options=(
${described(options)}
  )
  for ((index = 2; index < CURRENT; index++)); do
    word=\${(Q)words[index]}
    if [[ -n $value_of ]]; then
      [[ $value_of == --rc-file ]] && rc_file=$word
      value_of=
      continue
    fi
    case $word in
      (--) if [[ -n $region ]]; then after=1; break; fi ;;
      (--rc-file=*) rc_file=\${word#*=} ;;
      (${valueOptions.join('|')}) value_of=$word ;;
      (-*) [[ $word =~ $ssh_value ]] && value_of=$word ;;
      (*)
        if ((index == 2)) && [[ $word == (${verbs.map(({ name }) => name).join('|')}) ]]; then
          verb=$word
        elif [[ -z $region ]]; then region=$word
        elif [[ -z $host ]]; then host=$word
        else after=1
        fi
        ;;
    esac
  done
  word=\${words[CURRENT]}

  if [[ $word == --*=* ]]; then
    compset -P '*='
    _files
  elif [[ -n $value_of || -n $after ]]; then
    _files
  elif [[ $word == -* && -n $verb ]]; then
    _sshbh_options "$verb"
  elif [[ $word == -* ]]; then
    _describe -o option options
  elif [[ $verb == completion ]]; then
    [[ -n $region ]] || compadd -- bash zsh fish
  elif [[ -n $verb && -n $region ]]; then
    _files
  elif [[ -n $region ]]; then
    [[ -n $host ]] && return 1
    _sshbh_hosts
  else
    ((CURRENT == 2)) && [[ $word != *@* ]] && _describe -t commands command verbs && ret=0
    case $verb in (${['', ...regionVerbs].map(quoteForSh).join('|')}) _sshbh_regions "$rc_file" && ret=0 ;; esac
    return ret
  fi
}

if [[ $funcstack[1] == _sshbh ]]; then
  _sshbh "$@"
elif (( $+functions[compdef] )); then
  compdef _sshbh sshbh
fi
`;
}
