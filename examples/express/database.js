'use strict';

const { Pool } = require('pg');

// Where to connect to comes from PGHOST, PGDATABASE and their like.
const pool = new Pool({ connectionTimeoutMillis: 5000, query_timeout: 10000 });
// Of a connection that breaks while nobody uses it. Without this it would end the process.
pool.on('error', (error) => console.error('lost a connection:', error.message));

/** The first row. An error refuses whoever asked: 503 (see app.js). */
async function ask(question, values) {
  try {
    return (await pool.query(question, values)).rows[0];
  } catch (error) {
    throw Object.assign(error, { status: 503 });
  }
}

module.exports = { ask, pool };
