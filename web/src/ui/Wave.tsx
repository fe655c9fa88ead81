/** The mark: a tide, and the news that goes out over it. */
export function Wave() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false" fill="none" strokeLinecap="round">
      <g stroke="var(--accent)" strokeWidth="2.8">
        <path d="M3 26.5c4.3 0 4.3-4 8.7-4s4.3 4 8.6 4 4.3-4 8.7-4" />
        <path d="M5 12a14 14 0 0 1 22 0" opacity="0.5" />
        <path d="M10 15.5a8 8 0 0 1 12 0" />
      </g>
      <circle cx="16" cy="18.5" r="2.3" fill="var(--signal)" />
    </svg>
  );
}
