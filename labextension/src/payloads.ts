/** What was last sent to each endpoint, for as long as the page is open. */

import type { IPayload } from './routes';

export const EMPTY: IPayload = {
  body: '',
  content_type: 'application/json',
  accept: 'application/json'
};

/** By the endpoint's key. */
export const payloads = new Map<string, IPayload>();

/** Why a body is not what its content type says; empty if it is. */
export function mistake({ body, content_type }: IPayload): string {
  if (content_type !== 'application/json') {
    return '';
  }
  try {
    JSON.parse(body);
    return '';
  } catch (error) {
    return body.trim()
      ? `This is not JSON: ${(error as Error).message}`
      : 'There is nothing to send yet.';
  }
}

const WIDTH = 60;

/** JSON as a person writes it: lists of numbers on one line while they fit. */
export function pretty(text: string): string {
  try {
    return written(JSON.parse(text), '');
  } catch {
    return text;
  }
}

function written(value: unknown, indent: string): string {
  const line = onOneLine(value);
  if (value === null || typeof value !== 'object' || line.length <= WIDTH) {
    return line;
  }
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map(one => written(one, inner))
    : Object.entries(value).map(
        ([name, one]) => `${JSON.stringify(name)}: ${written(one, inner)}`
      );
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  return `${open}\n${parts.map(part => inner + part).join(',\n')}\n${indent}${close}`;
}

function onOneLine(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(onOneLine).join(', ')}]`;
  }
  if (value === null || typeof value !== 'object') {
    return JSON.stringify(value);
  }
  const members = Object.entries(value).map(
    ([name, one]) => `${JSON.stringify(name)}: ${onOneLine(one)}`
  );
  return `{${members.join(', ')}}`;
}
