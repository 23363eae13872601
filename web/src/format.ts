/** Times as people read them. */

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const units: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** A time from now (`3 hours ago`, `in 20 minutes`); nothing for one that is no time. */
export function ago(time: string | null, now: number): string | undefined {
  const at = moment(time);
  if (at === undefined) {
    return undefined;
  }
  const seconds = (at - now) / 1000;
  for (const [unit, size] of units) {
    // Just below a whole one is a whole one: a sign-in of 12 hours begins with "in 12 hours".
    if (Math.abs(seconds) >= 0.95 * size) {
      return relative.format(Math.round(seconds / size), unit);
    }
  }
  return seconds > 0 ? "in less than a minute" : "just now";
}

/** The same to the second, with its zone, in the person's own time. */
export function exact(time: string | null): string | undefined {
  const at = moment(time);
  if (at === undefined) {
    return undefined;
  }
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" }).format(at);
}

/** Milliseconds since the epoch. */
function moment(time: string | null): number | undefined {
  const at = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(at) ? undefined : at;
}

/** `1 host`, `2 hosts`. */
export function count(n: number, one: string): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : `${one}s`}`;
}
