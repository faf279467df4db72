/** Amounts of money as people type them. Pure. */

const TYPED = /^\d{1,9}(?:[.,]\d{1,3})?$/;

/** How many digits the currency has after the point: 2 for "usd", 0 for "jpy". */
export function digitsOf(currency) {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;
}

/** "4.99" or "4,99" of "usd" -> 499; null for what is no amount of it. */
export function minorUnits(text, currency) {
  const typed = text.trim();
  if (!TYPED.test(typed)) return null;
  const digits = digitsOf(currency);
  const [whole, part = ''] = typed.split(/[.,]/);
  return part.length > digits ? null : Number(whole + part.padEnd(digits, '0'));
}

/** 499 of "usd" -> "4.99", to be changed by hand. */
export function typedAmount(amount, currency) {
  return (amount / 10 ** digitsOf(currency)).toFixed(digitsOf(currency));
}
