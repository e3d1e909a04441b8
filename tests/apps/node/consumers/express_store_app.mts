// The same on the types of express-session, which has others for the session. It is only compiled: tsc --strict.
import express from 'express';
import session from 'express-session';
import { Pool } from 'pg';
import { SessionGuard } from 'pg-session-guard/express';

const guard = new SessionGuard(new Pool());
const app = express();
app.use(session({ secret: 'a key', resave: false, saveUninitialized: false }));
app.use(guard.middleware);
app.get('/private', guard.required, (req, res) => res.send(guard.userId(req)));
app.post('/login', async (req, res) => res.json(await guard.logIn(req, 7)));
