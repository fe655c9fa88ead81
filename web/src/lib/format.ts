/** How numbers, times and sizes are written on the pages. */

const COUNT = new Intl.NumberFormat("en");
const RATE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const formatCount = (value: number): string => COUNT.format(value);

/** Below ten a rate keeps one decimal; above, decimals are noise. */
export const formatRate = (perSecond: number): string =>
  perSecond < 10 ? RATE.format(perSecond) : COUNT.format(Math.round(perSecond));

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${RATE.format(bytes / 1024)} KiB`;
  return `${RATE.format(bytes / 1024 ** 2)} MiB`;
}

export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const pad = (value: number): string => String(value).padStart(2, "0");

/** The time of day; with the date in front when it is not the day of `now`. */
export function formatTime(timestamp: number, now = Date.now()): string {
  const at = new Date(timestamp);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === new Date(now).toDateString()) return time;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`;
