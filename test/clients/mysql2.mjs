// MariaDB with mysql2: texts, prepared statements, several statements at once, errors, a stream of rows, a pool.
import mysql from 'mysql2/promise'
import { done, port, statement } from './account.mjs'

const settings = { host: '127.0.0.1', port, user: 'tester', password: 'hunter2hunter2', database: 'shop', multipleStatements: true }
const c = await mysql.createConnection(settings)

async function run (operation, text, values, how = 'query') {
  try {
    const [rows, fields] = await c[how](text, values)
    const results = fields === undefined ? [] : Array.isArray(fields[0]) ? rows : [rows]
    statement(operation, fields === undefined ? undefined : results.reduce((n, r) => n + r.length, 0))
  } catch (e) {
    statement(operation, undefined, String(e.errno))
  }
}

await run('CREATE TABLE', 'CREATE TABLE node_items (id INT PRIMARY KEY, name LONGTEXT)')
for (let i = 0; i < 40; i++) {
  await run('INSERT', 'INSERT INTO node_items VALUES (?, ?)', [i, 'hunter2hunter2' + 'x'.repeat(i * 1500)])
  await run('SELECT', 'SELECT id, name FROM node_items WHERE id = ?', [i], 'execute')
  await run('UPDATE', 'UPDATE node_items SET name = ? WHERE id = ?', ['hunter2hunter2', i], 'execute')
}
await run('SELECT', 'SELECT id, name FROM node_items')
await run('SELECT', "SELECT seq, REPEAT('z', 50) FROM seq_1_to_20000")
await run('', 'SELECT 1; SELECT id FROM node_items LIMIT 3; SELECT 2')
await run('INSERT', "INSERT INTO node_items VALUES (1, 'again')")
await run('SELECT', 'SELECT nothing FROM node_items')
await run('SELECT', 'SELECT 1 FROM node_none WHERE a = ?', [1], 'execute')
await run('START', 'START TRANSACTION')
await run('DELETE', 'DELETE FROM node_items WHERE id > 30')
await run('ROLLBACK', 'ROLLBACK')

const pool = mysql.createPool({ ...settings, connectionLimit: 5 })
await Promise.all(Array.from({ length: 150 }, async (_, i) => {
  const [rows] = await pool.execute('SELECT id FROM node_items WHERE id < ?', [i % 40])
  statement('SELECT', rows.length)
}))
await pool.end()
await c.end()
done()
