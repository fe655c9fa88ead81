/** The mark: a tide, and the news that goes out over it. */
export function Wave() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false" fill="none" strokeLinecap="round">
      <g stroke="var(--accent)" strokeWidth="2.8">
        <path d="M3 24c4.3 0 4.3-4 8.7-4s4.3 4 8.6 4 4.3-4 8.7-4" />
        <path d="M8 13.5a11.5 11.5 0 0 1 16 0" opacity="0.75" />
        <path d="M12 8a8 8 0 0 1 8 0" opacity="0.45" />
      </g>
      <circle cx="16" cy="29" r="2.2" fill="var(--signal)" />
    </svg>
  );
}
