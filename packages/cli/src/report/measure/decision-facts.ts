import type { Int8Facts, ModelRow, ReportData } from "../report-data.js";

type Decision = ReportData["decisions"][number];

/** `teachers/decisions.json` of an experiment. */
export interface TeacherDecisions {
  readonly teachers: readonly { readonly teacher: string; readonly wanted: string; readonly reason: string }[];
}

/** `split.lock.json` beside the splits. */
export interface SplitRecord {
  readonly algorithm: string;
  readonly seed: number;
  readonly ratios: Readonly<Record<string, number>>;
  readonly stratify: boolean;
  readonly groupBy: string | null;
}

/** Every choice of a run with its reason, in the order of the pipeline; what left no record is not there. */
export function decisionFacts({
  split,
  teachers,
  student,
  int8,
  rows,
}: {
  split: SplitRecord | null;
  teachers: TeacherDecisions | null;
  student: { readonly id: string; readonly reasons: readonly string[]; readonly maskTeacher: string | null };
  int8: Int8Facts | null;
  rows: readonly ModelRow[];
}): Decision[] {
  return [
    ...(split === null ? [] : [splitDecision(split)]),
    ...(teachers?.teachers ?? []).map(({ teacher, wanted, reason }) => ({
      what: `teacher ${teacher}`,
      choice: wanted,
      reason,
    })),
    { what: "student", choice: student.id, reason: student.reasons.join("; ") },
    {
      what: "mask teacher of the student",
      choice: student.maskTeacher ?? "none",
      reason:
        student.maskTeacher === null
          ? "no adapted mask teacher: labels alone"
          : "masks are annotated: SAM adapted with LoRA supplies soft mask targets",
    },
    ...(int8 === null ? [] : [int8Decision(int8)]),
    ...shipped(rows),
  ];
}

function splitDecision({ algorithm, seed, ratios, stratify, groupBy }: SplitRecord): Decision {
  const shares = Object.entries(ratios).map(([name, share]) => `${name} ${share}`);
  const kept = groupBy === null ? "" : `, images of one ${groupBy} together`;
  return {
    what: "split",
    choice: shares.join(", "),
    reason: `${algorithm}, seed ${seed}${stratify ? ", classes balanced over the splits" : ""}${kept}`,
  };
}

function int8Decision({ floatLayers, attempts }: Int8Facts): Decision {
  const last = attempts?.at(-1);
  const choice =
    floatLayers === null
      ? "INT8; which layers stayed float was not recorded"
      : floatLayers.length === 0
        ? "INT8 in every layer that can be"
        : `INT8, but float: ${floatLayers.join(", ")}`;
  return {
    what: "quantisation",
    choice,
    reason:
      last === undefined
        ? "no labelled validation split: accuracy was not a gate"
        : `validation mAP50-95 changes by ${(-last.value).toFixed(3)}; a loss of ${last.limit} is allowed`,
  };
}

/** The model to deploy: INT8 unless it was rejected. */
function shipped(rows: readonly ModelRow[]): Decision[] {
  const [fp32, int8] = (["student-fp32", "student-int8"] as const).map((kind) => rows.find((row) => row.kind === kind));
  const row = int8 === undefined || (int8.verdict?.startsWith("rejected") && fp32 !== undefined) ? fp32 : int8;
  if (row === undefined) return [];
  const reason =
    row === int8
      ? `INT8 was judged "${int8?.verdict ?? "not judged"}"`
      : int8 === undefined
        ? "no INT8 model was made"
        : `INT8 was ${int8.verdict}`;
  return [{ what: "model to deploy", choice: row.name, reason }];
}
