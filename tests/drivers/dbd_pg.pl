# Perl's DBD::Pg: each value is sent as text without a type, and times are text.
use strict;
use warnings;
use DBI;

my $sqlstate;
my $dbh = DBI->connect("dbi:Pg:", undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1,
    HandleError => sub { $sqlstate = $_[1]->state; return 0 } });
my %calls = (session => ["session_verdict", "session_valid"], token => ["token_valid"], "round trip" => ["round_trip"]);
binmode STDOUT, ":utf8";

sub ask {
    my ($call, $is_naive, @arguments) = @_;
    my @places = map { "?" } @arguments;
    $places[-1] = "?::timestamp" if $is_naive;
    my ($answer) = $dbh->selectrow_array("SELECT $call(" . join(", ", @places) . ")", undef, @arguments);
    return $answer;
}

sub is_valid {
    my ($user_id, $login_at) = @_;
    my ($valid) = $dbh->selectrow_array("SELECT session_valid(?, ?)", undef, $user_id, $login_at);
    return $valid ? "true" : "false";
}

sub round_trip {
    my ($user_id) = @_;
    $dbh->do("SELECT stamp(?)", undef, $user_id);
    my ($login_at) = $dbh->selectrow_array("SELECT session_start(?)", undef, $user_id);
    my $before = is_valid($user_id, $login_at);
    $dbh->do("SELECT stamp(?)", undef, $user_id);
    return "$before " . is_valid($user_id, $login_at);
}

sub put {
    my ($call, $case) = @_;
    my ($id, $login, $kind) = @$case{qw(id login login_as)};
    return round_trip($id) if $call eq "round_trip";
    my @which = defined $case->{guard} ? $case->{guard} : ();
    $login = ask("read_time", 0, $login) if $kind eq "read";
    $login = ask("session_start", 0, @which, $id) if $kind eq "started";
    my $answer = ask($call, $kind eq "naive", @which, $id, $login);
    return $call eq "session_verdict" ? $answer : $answer ? "true" : "false";
}

my $cases = $dbh->selectall_arrayref(
    "SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard", { Slice => {} });
for my $case (@$cases) {
    for my $way (["prepared", 1], ["unprepared", 0]) {
        $dbh->{pg_server_prepare} = $way->[1];
        $dbh->{pg_switch_prepared} = 1;    # at the first call already
        for my $call (@{ $calls{ $case->{ask} } }) {
            my $answer = eval { put($call, $case) } // "error " . $sqlstate;
            print join("\t", $case->{name}, $case->{guard} // "", $call, $way->[0], $answer), "\n";
        }
    }
}
