import { useState } from "preact/hooks";
import type { SliderScale } from "../src/dashboard/slider-scale.js";

/**
 * A slider over orders of magnitude with a box for the exact number. Untouched it says `automatic`: the field is then left out of the
 * request and the hub chooses.
 */
export function SliderField({
  id,
  label,
  hint,
  scale,
  value,
  fallback,
  isWhole,
  format,
  onChange,
}: {
  id: string;
  label: string;
  hint: string;
  scale: SliderScale;
  /** Null: automatic. */
  value: number | null;
  /** Where the slider stands while automatic. */
  fallback: number;
  isWhole: boolean;
  format(value: number): string;
  onChange(value: number | null): void;
}) {
  // What is being typed, until it is a number in range.
  const [draft, setDraft] = useState<string | null>(null);
  const shown = value ?? fallback;
  const isValid = (number: number) =>
    Number.isFinite(number) && number >= scale.min && number <= scale.max && (!isWhole || Number.isInteger(number));
  // What was chosen within the bounds of one trainer may lie outside those of the next.
  const isBad = draft === null || draft.trim() === "" ? value !== null && !isValid(value) : !isValid(Number(draft));
  const hintId = `${id}-hint`;
  return (
    <div class={`slider-field ${value === null ? "is-auto" : ""}`}>
      <div class="slider-head">
        <label for={id}>{label}</label>
        <span class="slider-value">
          <input
            type="text"
            inputMode="decimal"
            aria-label={`${label}, exact value`}
            aria-invalid={isBad}
            aria-describedby={hintId}
            placeholder="automatic"
            value={draft ?? (value === null ? "" : format(value))}
            onInput={(event) => {
              const text = event.currentTarget.value;
              setDraft(text);
              if (text.trim() === "") onChange(null);
              else if (isValid(Number(text))) onChange(Number(text));
            }}
            onBlur={() => setDraft(null)}
          />
          <button
            type="button"
            class="icon"
            disabled={value === null}
            aria-label={`${label}: back to automatic`}
            title="Back to automatic"
            onClick={() => {
              setDraft(null);
              onChange(null);
            }}
          >
            ↺
          </button>
        </span>
      </div>
      <input
        id={id}
        type="range"
        min={0}
        max={scale.steps}
        step={1}
        value={scale.stepOf(shown)}
        aria-valuetext={value === null ? `automatic, about ${format(fallback)}` : format(value)}
        aria-describedby={hintId}
        onInput={(event) => {
          setDraft(null);
          onChange(scale.valueAt(Number(event.currentTarget.value)));
        }}
      />
      <p id={hintId} class={isBad ? "field-error" : "hint"}>
        {isBad
          ? `Give ${isWhole ? "a whole number" : "a number"} from ${format(scale.min)} to ${format(scale.max)}.`
          : hint}
      </p>
    </div>
  );
}
