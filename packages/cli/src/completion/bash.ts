import type { CompletedPath, Operand } from "./completion-model.js";

/** A word in single quotes, safe in bash and zsh. */
export const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Assignments of a `case` branch: what is offered. */
const offer = (operand: Operand | null): string => {
  if (operand === null) return "";
  return operand.kind === "words" ? `words=${quoted(operand.words.join(" "))}` : `kind=${operand.kind}`;
};

const branch = ({ path, commands, options, positional }: CompletedPath): string => {
  const names = [...commands.map(({ name }) => name), ...options.map(({ name }) => name)];
  const operands = options.flatMap(({ name, operand, isList }) =>
    operand === null ? [] : [`        ${name}) takes=${isList ? "many" : "one"}; ${offer(operand)} ;;`],
  );
  const behind = offer(positional);
  return [
    `    ${quoted(path)})`,
    `      names=${quoted(names.join(" "))}`,
    ...(behind === "" ? [] : [`      rest_${behind}`]),
    ...(operands.length === 0 ? [] : ['      case "$option" in', ...operands, "      esac"]),
    "      ;;",
  ].join("\n");
};

/**
 * Completion for bash 3.2 and later. The words before the cursor lead to a command; the last option before it says what may follow.
 */
export function bashCompletion(model: readonly CompletedPath[]): string {
  const known = model.slice(1).map(({ path }) => quoted(path));
  return `# bash completion of seg; load it with: source <(seg completion bash)
_seg() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path=seg option= distance=0 i word
  local names= words= kind= takes= rest_words= rest_kind=
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      --*) option="$word"; distance=0 ;;
      =) ;;
      *)
        distance=$((distance + 1))
        if [ -z "$option" ]; then
          case "$path $word" in
            ${known.join("|")}) path="$path $word"; distance=0 ;;
          esac
        fi ;;
    esac
  done
  # "--name=" is three words here: the name, "=", the value.
  [ "$cur" = "=" ] && cur=
  case "$path" in
${model.map(branch).join("\n")}
  esac
  # The value of an option: the first word behind it, or every one behind a list, until the next option.
  if [ -n "$takes" ] && { [ "$distance" = 0 ] || [ "$takes" = many ]; } && [[ "$cur" != -* ]]; then
    rest_words="$words" rest_kind="$kind"
  elif [[ "$cur" == -* ]] || [ -z "$rest_words$rest_kind" ]; then
    COMPREPLY=($(compgen -W "$names" -- "$cur"))
    return
  fi
  if [ -n "$rest_words" ]; then
    COMPREPLY=($(compgen -W "$rest_words" -- "$cur"))
    return
  fi
  # Names of files may hold spaces.
  local IFS=$'\n'
  if [ "$rest_kind" = folder ]; then
    compopt -o filenames 2> /dev/null
    COMPREPLY=($(compgen -d -- "$cur"))
  elif [ "$rest_kind" = file ]; then
    compopt -o filenames 2> /dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -F _seg seg
`;
}
