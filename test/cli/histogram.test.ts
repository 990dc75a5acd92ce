import { describe, expect, it } from 'vitest';
import { Histogram } from '#src/cli/bench/histogram';

const within3Percent = (found: number, right: number) =>
  expect(Math.abs(found / right - 1)).toBeLessThan(0.03);

describe('latency histogram', () => {
  it('has percentiles within 3 % of the exact ones', () => {
    const histogram = new Histogram();
    for (let ns = 1; ns <= 10_000; ns++) histogram.add(ns * 100);
    expect(histogram.total).toBe(10_000);
    for (const share of [0.01, 0.25, 0.5, 0.9, 0.99, 1]) {
      within3Percent(histogram.percentile(share), share * 1_000_000);
    }
  });

  it('counts many of one latency as so many', () => {
    const histogram = new Histogram();
    histogram.add(1000, 99);
    histogram.add(50_000, 1);
    expect(histogram.total).toBe(100);
    within3Percent(histogram.percentile(0.5), 1000);
    within3Percent(histogram.percentile(0.99), 1000);
    within3Percent(histogram.percentile(0.995), 50_000);
  });

  it('takes what lies beyond its ends into its first and last bucket', () => {
    const histogram = new Histogram();
    histogram.add(0);
    expect(histogram.percentile(1)).toBe(1);
    histogram.add(1e15, 9);
    expect(histogram.percentile(0.5)).toBeGreaterThan(5e11);
  });

  it('without a request every percentile is 0', () => {
    expect(new Histogram().percentile(0.5)).toBe(0);
  });
});
