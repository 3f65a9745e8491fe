// Words that agree with their numbers.

/** A number with what it counts: "1 slide", "2 slides". */
export function counted(number, one) {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}
