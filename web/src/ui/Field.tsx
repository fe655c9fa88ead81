import { type ReactNode, useId } from "react";

interface ControlProps {
  readonly id: string;
  readonly "aria-invalid": boolean;
  readonly "aria-describedby": string | undefined;
}

interface FieldProps {
  readonly label: string;
  /** What is wrong; shown in place of the hint. */
  readonly problem?: string | null | undefined;
  readonly hint?: string;
  readonly children: (control: ControlProps) => ReactNode;
}

/** A labelled control whose hint or problem a screen reader finds with it. */
export function Field({ label, problem, hint, children }: FieldProps) {
  const id = useId();
  const note = problem ?? hint;
  const noteId = `${id}note`;
  const wrong = problem !== null && problem !== undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": wrong, "aria-describedby": note === undefined ? undefined : noteId })}
      {note !== undefined && (
        <p id={noteId} className={wrong ? "field-note is-wrong" : "field-note"} aria-live="polite">
          {note}
        </p>
      )}
    </div>
  );
}
