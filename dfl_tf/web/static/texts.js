// Numbers for people.

/** Seconds as 12 s, 3 min, 2.5 h, 4 days. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A model by its name, and by its class where that is another word. */
export function modelTitle({ name, model_class: kind }) {
  return name === kind ? name : `${name} (${kind})`;
}

export function ago(seconds) {
  return seconds === null || seconds === undefined ? "–" : `${duration(Math.max(0, seconds))} ago`;
}

/** Bytes as MiB or GiB. */
export function bytes(number) {
  if (number === null || number === undefined) return "–";
  return number < 1 << 30 ? `${Math.round(number / 1048576)} MiB` : `${(number / 1073741824).toFixed(1)} GiB`;
}

/** The time of day of seconds since 1970; the date as well where it is not today. */
export function clock(seconds) {
  if (!seconds) return "";
  const time = new Date(seconds * 1000);
  const day = time.toDateString() === new Date().toDateString() ? "" : `${time.toLocaleDateString()} `;
  return day + time.toLocaleTimeString();
}
