import { quoted } from "./bash.js";
import type { CompletedPath, Operand } from "./completion-model.js";

/** An entry of `_describe`: the name, a colon, the explanation; a colon inside a name would end it. */
const described = (name: string, help: string): string => quoted(`${name.replaceAll(":", "\\:")}:${help}`);

const offer = (operand: Operand | null, prefix: string): string => {
  if (operand === null) return "";
  return operand.kind === "words"
    ? `${prefix}choices=(${operand.words.map(quoted).join(" ")})`
    : `${prefix}kind=${operand.kind}`;
};

const branch = ({ path, commands, options, positional }: CompletedPath): string => {
  const list = (entries: readonly { name: string; help: string }[]) =>
    entries.map(({ name, help }) => `\n        ${described(name, help)}`).join("");
  const operands = options.flatMap(({ name, operand, isList }) =>
    operand === null ? [] : [`        ${name}) takes=${isList ? "many" : "one"}; ${offer(operand, "")} ;;`],
  );
  return [
    `    ${quoted(path)})`,
    ...(commands.length === 0 ? [] : [`      commands=(${list(commands)})`]),
    ...(options.length === 0 ? [] : [`      options=(${list(options)})`]),
    ...(positional === null ? [] : [`      ${offer(positional, "rest_")}`]),
    ...(operands.length === 0 ? [] : ['      case "$option" in', ...operands, "      esac"]),
    "      ;;",
  ].join("\n");
};

/** Completion for zsh, with explanations. */
export function zshCompletion(model: readonly CompletedPath[]): string {
  const known = model.slice(1).map(({ path }) => quoted(path));
  return `#compdef seg
# zsh completion of seg; load it with: source <(seg completion zsh), after compinit
_seg() {
  local cur="\${words[CURRENT]}" path_=seg option= takes= kind= rest_kind= word
  local -i distance=0 i
  local -a commands options choices rest_choices
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$word" in
      --*=*) option=; distance=0 ;;
      --*) option="$word"; distance=0 ;;
      *)
        distance+=1
        if [[ -z "$option" ]]; then
          case "$path_ $word" in
            ${known.join("|")}) path_="$path_ $word"; distance=0 ;;
          esac
        fi ;;
    esac
  done
  case "$path_" in
${model.map(branch).join("\n")}
  esac
  if [[ -n "$takes" && ( $distance == 0 || "$takes" == many ) && "$cur" != -* ]]; then
    rest_choices=("\${choices[@]}") rest_kind="$kind"
  elif [[ "$cur" == -* || ( -z "$rest_kind" && \${#rest_choices} == 0 ) ]]; then
    if (( \${#commands} )) && [[ "$cur" != -* ]]; then _describe -t commands command commands; fi
    if (( \${#options} )); then _describe -t options option options; fi
    return
  fi
  if (( \${#rest_choices} )); then
    compadd -- "\${rest_choices[@]}"
  elif [[ "$rest_kind" == folder ]]; then
    _files -/
  elif [[ "$rest_kind" == file ]]; then
    _files
  fi
}
compdef _seg seg
`;
}
