import type { TargetKind } from "./draft";

const CHOICES: readonly { readonly kind: TargetKind; readonly text: string }[] = [
  { kind: "client", text: "One client" },
  { kind: "topic", text: "A topic" },
  { kind: "everyone", text: "Everyone (broadcast)" },
];

export function TargetChoice({ target, onChange }: { target: TargetKind; onChange: (target: TargetKind) => void }) {
  return (
    <fieldset className="field">
      <legend className="legend">Send to</legend>
      <div className="segments">
        {CHOICES.map(({ kind, text }) => (
          <label key={kind} className="segment">
            <input type="radio" name="target" checked={kind === target} onChange={() => onChange(kind)} />
            {text}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
