/** Lines of a calm sea, each a little fainter than the one before. */
export function Tide() {
  return (
    <svg className="tide" viewBox="0 0 1200 120" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path d={wave(24)} />
      <path d={wave(54)} opacity="0.6" />
      <path d={wave(84)} opacity="0.3" />
    </svg>
  );
}

const wave = (y: number): string => `M-${y * 3} ${y}q75 -28 150 0${"t150 0".repeat(9)}`;
