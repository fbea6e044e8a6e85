// PostgreSQL with node-postgres: simple and extended queries, named statements, cursors, transactions, errors, a pool.
import pg from 'pg'
import Cursor from 'pg-cursor'
import { did, done, port, statement } from './account.mjs'

const settings = { host: '127.0.0.1', port, user: 'app', database: 'shop' }
const c = new pg.Client(settings)
await c.connect()

async function run (operation, query, parameters) {
  try {
    const r = await c.query(query, parameters)
    statement(operation, r.fields.length > 0 ? r.rows.length : undefined)
    return r
  } catch (e) {
    statement(operation, undefined, e.code)
  }
}

await run('CREATE TABLE', 'CREATE TABLE node_items (id int PRIMARY KEY, name text)')
for (let i = 0; i < 40; i++) {
  await run('INSERT', 'INSERT INTO node_items VALUES ($1, $2)', [i, 'hunter2hunter2' + 'x'.repeat(i * 2000)])
  await run('SELECT', { name: 'by-id', text: 'SELECT id, name FROM node_items WHERE id = $1', values: [i] })
}
await run('SELECT', 'SELECT id FROM node_items ORDER BY id')
await run('SELECT', "SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g")
await run('INSERT', 'INSERT INTO node_items VALUES ($1, $2)', [1, 'hunter2hunter2'])
await run('SELECT', 'SELECT nothing FROM node_items')
await run('SELECT', 'SELECT 1 / (id - id) FROM node_items WHERE id = $1', [3])
await run('BEGIN', 'BEGIN')
await run('UPDATE', "UPDATE node_items SET name = 'hunter2hunter2' WHERE id < $1 RETURNING id", [5])
await run('ROLLBACK', 'ROLLBACK')

// Each read of a cursor is an Execute of its portal, and ends with PortalSuspended until the rows end.
const cursor = c.query(new Cursor('SELECT id FROM node_items ORDER BY id'))
for (;;) {
  const rows = await cursor.read(15)
  statement('SELECT', rows.length)
  if (rows.length < 15) break
}
await cursor.close()

const pool = new pg.Pool({ ...settings, max: 6 })
await Promise.all(Array.from({ length: 200 }, async (_, i) => {
  const r = await pool.query('SELECT name FROM node_items WHERE id <= $1', [i % 40])
  did(`SELECT rows=${r.rows.length}`)
}))
await pool.end()
await c.end()
done()
