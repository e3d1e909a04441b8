<?php
// PHP's PDO: each value is sent as text without a type, and times are text.
const CALLS = ['session' => ['session_verdict', 'session_valid'], 'token' => ['token_valid'], 'round trip' => ['round_trip']];
$db = new PDO('pgsql:', getenv('PGUSER'), null, [PDO::ATTR_EMULATE_PREPARES => true]);

function ask(PDO $db, string $call, array $arguments, bool $isNaive = false)
{
    $places = array_fill(0, count($arguments), '?');
    if ($isNaive) {
        $places[array_key_last($places)] = 'CAST(? AS timestamp)';
    }
    $ask = $db->prepare("SELECT $call(" . implode(', ', $places) . ')');
    $ask->execute($arguments);
    return $ask->fetchColumn();
}

function isValid(PDO $db, $userId, $loginAt): string
{
    $ask = $db->prepare('SELECT session_valid(?, ?)');
    $ask->execute([$userId, $loginAt]);
    $valid = $ask->fetchColumn();
    return var_export($valid, true);
}

function roundTrip(PDO $db, $userId): string
{
    ask($db, 'stamp', [$userId]);
    $start = $db->prepare('SELECT session_start(?)');
    $start->execute([$userId]);
    $loginAt = $start->fetchColumn();
    $before = isValid($db, $userId, $loginAt);
    ask($db, 'stamp', [$userId]);
    return $before . ' ' . isValid($db, $userId, $loginAt);
}

function put(PDO $db, string $call, array $case)
{
    $id = $case['id_as'] === 'int' ? (int) $case['id'] : $case['id'];
    if ($call === 'round_trip') {
        return roundTrip($db, $id);
    }
    $which = $case['guard'] === null ? [] : [$case['guard']];
    $login = match ($case['login_as']) {
        'aware' => (new DateTimeImmutable($case['login']))->format('Y-m-d H:i:s.uP'),
        'naive' => (new DateTimeImmutable($case['login']))->format('Y-m-d H:i:s.u'),
        'read' => ask($db, 'read_time', [$case['login']]),
        'started' => ask($db, 'session_start', [...$which, $id]),
        default => $case['login'],
    };
    return ask($db, $call, [...$which, $id, $login], $case['login_as'] === 'naive');
}

$cases = $db->query('SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard');
foreach ($cases->fetchAll(PDO::FETCH_ASSOC) as $case) {
    foreach (['prepared' => false, 'emulated' => true] as $way => $isEmulated) {
        $db->setAttribute(PDO::ATTR_EMULATE_PREPARES, $isEmulated);
        foreach (CALLS[$case['ask']] as $call) {
            try {
                $answer = put($db, $call, $case);
            } catch (PDOException $error) {
                $answer = "error {$error->errorInfo[0]}";
            }
            $answer = is_bool($answer) ? var_export($answer, true) : $answer;
            echo implode("\t", [$case['name'], $case['guard'], $call, $way, $answer]), "\n";
        }
    }
}
