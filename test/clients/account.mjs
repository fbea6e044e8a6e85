// The account of a client: how often it did what. It is printed at the end, one line for each thing: number, thing.
import { writeSync } from 'node:fs'

const counts = new Map()

/** Counts a thing that was done, `n` times. */
export function did (what, n = 1) { counts.set(what, (counts.get(what) ?? 0) + n) }

/** A statement as its span tells it: rows is undefined where none are returned, error is the code of its failure. */
export function statement (operation, rows, error) {
  did(operation + (rows === undefined ? '' : ` rows=${rows}`) + (error ? ` error=${error}` : ''))
}

/** Prints the account and ends the process, so that no timer of a driver keeps it. */
export function done () {
  for (const [what, n] of counts) writeSync(1, `${n} ${what}\n`)
  process.exit(0)
}

/** The port of the server, the first argument. */
export const port = Number(process.argv[2])
