import { SSH_OPTIONS_WITH_VALUE } from '../sshbh-options.ts';
import { type Grammar, quoteForFish } from './grammar.ts';

/** The script for fish, 3.0 and later. */
export function fishCompletion({ verbs, regionVerbs, options, valueOptions }: Grammar): string {
  const described = (rows: readonly { readonly name: string; readonly help: string }[]): string =>
    rows.map(({ name, help }) => ` ${quoteForFish(name)} ${quoteForFish(help)}`).join('');
  const names = (rows: readonly string[]): string => rows.map(quoteForFish).join(' ');
  return `# Completion of sshbh for fish:  sshbh completion fish > ~/.config/fish/completions/sshbh.fish

# Sets what stands before the cursor: __sshbh_verb, _region, _host, _value_of, _after, _rc_file.
function __sshbh_read
    for name in verb region host value_of after rc_file
        set -g __sshbh_$name ''
    end
    set -l index 0
    for word in (commandline -opc)[2..-1]
        set index (math $index + 1)
        if test -n "$__sshbh_value_of"
            test "$__sshbh_value_of" = --rc-file; and set -g __sshbh_rc_file $word
            set -g __sshbh_value_of ''
            continue
        end
        switch $word
            case --
                if test -n "$__sshbh_region"
                    set -g __sshbh_after 1
                    break
                end
            case '--rc-file=*'
                set -g __sshbh_rc_file (string replace -- --rc-file= '' $word)
            case ${names(valueOptions)}
                set -g __sshbh_value_of $word
            case '-*'
                if string match -qr -- '^-[^-${SSH_OPTIONS_WITH_VALUE}]*[${SSH_OPTIONS_WITH_VALUE}]$' $word
                    set -g __sshbh_value_of $word
                end
            case '*'
                if test $index = 1; and contains -- $word ${names(verbs.map(({ name }) => name))}
                    set -g __sshbh_verb $word
                else if test -z "$__sshbh_region"
                    set -g __sshbh_region $word
                else if test -z "$__sshbh_host"
                    set -g __sshbh_host $word
                else
                    set -g __sshbh_after 1
                end
        end
    end
    return 0
end

function __sshbh_wants_file
    __sshbh_read
    if test -n "$__sshbh_value_of$__sshbh_after"
        return 0
    end
    test -n "$__sshbh_verb"; and test -n "$__sshbh_region"; and test "$__sshbh_verb" != completion
end

function __sshbh_regions
    set -l user (string match -r -- '^.*@' (commandline -ct))
    set -l rc_file (string replace -r -- '^~/' $HOME/ $__sshbh_rc_file)
    set -l from
    test -n "$rc_file"; and set from --rc-file $rc_file
    for region in (command sshbh list --names $from 2>/dev/null)
        printf '%s\\tregion\\n' "$user$region"
    end
end

function __sshbh_complete
    __sshbh_read
    set -l current (commandline -ct)
    if test -n "$__sshbh_value_of$__sshbh_after"
        return
    end
    if string match -q -- '-*' $current
        if test -n "$__sshbh_verb"
            command sshbh $__sshbh_verb --help 2>/dev/null | string match -r -g -- '^ +(?:-., )?(--[a-z0-9-]+)'
        else
            printf '%s\\t%s\\n'${described(options)}
        end
    else if test "$__sshbh_verb" = completion
        test -z "$__sshbh_region"; and printf '%s\\n' bash zsh fish
    else if test -n "$__sshbh_verb"
        if test -z "$__sshbh_region"; and contains -- $__sshbh_verb ${names(regionVerbs)}
            __sshbh_regions
        end
    else if test -n "$__sshbh_region"
        test -z "$__sshbh_host"; and __fish_print_hostnames
    else
        __sshbh_regions
        if test (count (commandline -opc)) -eq 1; and not string match -q -- '*@*' $current
            printf '%s\\t%s\\n'${described(verbs)}
        end
    end
end

complete -c sshbh -e
complete -c sshbh -f -a '(__sshbh_complete)'
complete -c sshbh -n __sshbh_wants_file -F
`;
}
