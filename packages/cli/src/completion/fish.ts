import { quoted } from "./bash.js";
import type { CompletedOption, CompletedPath, Operand } from "./completion-model.js";

/** A word in single quotes: fish knows the escapes \\ and \'. */
const literal = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

const operandFlags = (operand: Operand | null): string => {
  if (operand === null) return "";
  if (operand.kind === "words") return ` -x -a ${literal(operand.words.join(" "))}`;
  if (operand.kind === "file") return " -r -F";
  return operand.kind === "folder" ? " -x -a '(__fish_complete_directories)'" : " -x";
};

/** Lines of one option; a list goes on offering its words until the next option. */
function optionLines(path: string, { name, help, operand, isList }: CompletedOption): string[] {
  const at = literal(`__seg_at ${quoted(path)}`);
  const line = `complete -c seg -n ${at} -l ${name.slice(2)} -d ${literal(help)}${operandFlags(operand)}`;
  if (!isList || operand?.kind !== "words") return [line];
  const within = literal(`__seg_in_list ${quoted(path)} ${name}`);
  return [line, `complete -c seg -n ${within} -a ${literal(operand.words.join(" "))}`];
}

function pathLines({ path, commands, options, positional }: CompletedPath): string[] {
  const at = literal(`__seg_at ${quoted(path)}`);
  return [
    ...commands.map(({ name, help }) => `complete -c seg -n ${at} -a ${name} -d ${literal(help)}`),
    ...options.flatMap((option) => optionLines(path, option)),
    ...(positional === null
      ? []
      : [
          `complete -c seg -n ${at} ${positional.kind === "words" ? `-a ${literal(positional.words.join(" "))}` : "-F"}`,
        ]),
  ];
}

/** Completion for fish 3 and later, with explanations. */
export function fishCompletion(model: readonly CompletedPath[]): string {
  const known = model.slice(1).map(({ path }) => quoted(path));
  return `# fish completion of seg; load it with: seg completion fish | source
function __seg_at --description 'Whether the words before the cursor lead to this command'
    set -l path seg
    for word in (commandline -opc)[2..]
        contains -- "$path $word" ${known.join(" ")}
        or break
        set path "$path $word"
    end
    test "$path" = "$argv[1]"
end
function __seg_in_list --description 'Whether the last option before the cursor is this list'
    __seg_at $argv[1]
    and test (commandline -opc | string match -- '--*')[-1] = $argv[2] 2>/dev/null
end
complete -c seg -f
${model.flatMap(pathLines).join("\n")}
`;
}
