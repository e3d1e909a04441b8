import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** JDBC: each value is sent with the type that its setter names; a String is a varchar. */
public class Jdbc {
    /** Whether times are sent as applications from before Java 8 do. */
    static boolean hasTimestamps;

    record Case(String name, String ask, String guard, String idAs, String id, String loginAs, String login) {
        List<String> calls() {
            return ask.equals("session") ? List.of("session_verdict", "session_valid")
                : List.of(ask.equals("token") ? "token_valid" : "round_trip");
        }
    }

    static Object naturalId(String kind, String text) {
        return switch (kind) {
            case "int" -> Integer.valueOf(text);
            case "bigint" -> text.length() > 19 ? new BigDecimal(text) : Long.valueOf(text);
            case "uuid" -> UUID.fromString(text);
            case "numeric" -> new BigDecimal(text);
            default -> text;
        };
    }

    static Object naturalLogin(String kind, String text) {
        return switch (kind) {
            case "aware" -> OffsetDateTime.parse(text);
            case "naive" -> LocalDateTime.parse(text);
            case "infinity" -> text.equals("infinity") ? OffsetDateTime.MAX : OffsetDateTime.MIN;
            default -> text;
        };
    }

    static boolean isFinite(OffsetDateTime time) {
        return time.isBefore(OffsetDateTime.MAX) && time.isAfter(OffsetDateTime.MIN);
    }

    static Object ask(Connection db, String call, List<Object> arguments, Class<?> wanted) throws SQLException {
        String places = String.join(", ", Collections.nCopies(arguments.size(), "?"));
        try (PreparedStatement ask = db.prepareStatement("SELECT " + call + "(" + places + ")")) {
            for (int n = 0; n < arguments.size(); n++)
                if (hasTimestamps && arguments.get(n) instanceof OffsetDateTime time && isFinite(time))
                    ask.setTimestamp(n + 1, Timestamp.from(time.toInstant()));
                else ask.setObject(n + 1, arguments.get(n));
            ResultSet answer = ask.executeQuery();
            answer.next();
            return answer.getObject(1, wanted);
        }
    }

    static boolean isValid(Connection db, Object userId, OffsetDateTime loginAt) throws SQLException {
        boolean valid;
        try (PreparedStatement ask = db.prepareStatement("SELECT session_valid(?, ?)")) {
            ask.setObject(1, userId);
            ask.setObject(2, loginAt);
            ResultSet answer = ask.executeQuery();
            answer.next();
            valid = answer.getBoolean(1);
        }
        return valid;
    }

    static String roundTrip(Connection db, Object userId) throws SQLException {
        ask(db, "stamp", List.of(userId.toString()), String.class);
        OffsetDateTime loginAt;
        try (PreparedStatement start = db.prepareStatement("SELECT session_start(?)")) {
            start.setObject(1, userId);
            ResultSet started = start.executeQuery();
            started.next();
            loginAt = started.getObject(1, OffsetDateTime.class);
        }
        boolean before = isValid(db, userId, loginAt);
        ask(db, "stamp", List.of(userId.toString()), String.class);
        return before + " " + isValid(db, userId, loginAt);
    }

    static Object put(Connection db, String call, Case row) throws SQLException {
        Object user = naturalId(row.idAs, row.id);
        if (call.equals("round_trip")) return roundTrip(db, user);
        List<Object> arguments = new ArrayList<>();
        if (row.guard != null) arguments.add(row.guard);
        arguments.add(user);
        arguments.add(switch (row.loginAs) {
            case "read" -> ask(db, "read_time", List.of(row.login), OffsetDateTime.class);
            case "started" -> ask(db, "session_start", List.copyOf(arguments), OffsetDateTime.class);
            default -> naturalLogin(row.loginAs, row.login);
        });
        return ask(db, call, arguments, call.equals("session_verdict") ? String.class : Boolean.class);
    }

    static List<Case> cases(Connection db) throws SQLException {
        List<Case> cases = new ArrayList<>();
        ResultSet row = db.createStatement().executeQuery(
            "SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard");
        while (row.next())
            cases.add(new Case(row.getString(1), row.getString(2), row.getString(3), row.getString(4), row.getString(5),
                row.getString(6), row.getString(7)));
        return cases;
    }

    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("GUARD_TCP") + "/" + System.getenv("PGDATABASE")
            + "?user=" + System.getenv("PGUSER") + "&";
        Map<String, String> settings = Map.of("prepared", "prepareThreshold=1", "unprepared", "prepareThreshold=0",
            "simple", "preferQueryMode=simple", "timestamps", "prepareThreshold=0");
        for (String way : settings.keySet()) {
            hasTimestamps = way.equals("timestamps");
            try (Connection db = DriverManager.getConnection(url + settings.get(way))) {
                for (Case row : cases(db))
                    for (String call : row.calls()) {
                        Object answer;
                        try {
                            answer = put(db, call, row);
                        } catch (SQLException error) {
                            answer = "error " + error.getSQLState();
                        }
                        System.out.println(String.join("\t", row.name, row.guard == null ? "" : row.guard, call, way, "" + answer));
                    }
            }
        }
    }
}
