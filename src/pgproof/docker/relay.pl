# pgproof's relay: standard input and output to and from a server's socket, both ways at once. ARGV are places to try.
# When the input ends, the server is told; what it still says is passed on for some seconds, as whoever is gone does
# not listen. Ends when the server has ended and all it said is written.
use strict;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(AF_UNIX AF_INET SOCK_STREAM IPPROTO_TCP TCP_NODELAY inet_aton pack_sockaddr_in pack_sockaddr_un);

my ($most, $last_words) = (1 << 18, 5);
my ($server, @refused);
for my $place (@ARGV) {
    last if $server = reached($place);
    push @refused, "$place: $!";
}
if (!$server) {
    print STDERR "nothing answers at ", join(", ", @refused), "\n";
    exit 69;
}

sub reached {
    my ($place) = @_;
    my $made;
    if ($place =~ m{^/}) {
        return socket($made, AF_UNIX, SOCK_STREAM, 0) && connect($made, pack_sockaddr_un($place)) ? $made : undef;
    }
    my ($host, $port) = $place =~ /^(.*):(\d+)$/;
    my $address = inet_aton($host) or return undef;
    socket($made, AF_INET, SOCK_STREAM, 0) && connect($made, pack_sockaddr_in($port, $address)) or return undef;
    setsockopt($made, IPPROTO_TCP, TCP_NODELAY, 1);
    return $made;
}

$SIG{PIPE} = 'IGNORE';
fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) | O_NONBLOCK) for (*STDIN, *STDOUT, $server);
my ($in, $out, $both) = (fileno(STDIN), fileno(STDOUT), fileno($server));
my ($inward, $outward) = ('', '');
my ($hears, $server_speaks, $server_hears, $until) = (1, 1, 1, 0);

sub now_not { return $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR} }

while ($server_speaks || length $outward) {
    my ($read, $write) = ('', '');
    vec($read, $in, 1) = 1 if $hears && length $inward < $most;
    vec($read, $both, 1) = 1 if $server_speaks && length $outward < $most;
    vec($write, $both, 1) = 1 if length $inward;
    vec($write, $out, 1) = 1 if length $outward;
    my $left = $until ? $until - time : undef;
    last if $until && $left <= 0;
    next if select($read, $write, undef, $left) <= 0;
    if (vec($read, $in, 1)) {
        my $got = sysread(STDIN, $inward, $most, length $inward);
        $hears = 0 if defined $got ? !$got : !now_not();
    }
    if (vec($write, $both, 1)) {
        my $sent = syswrite($server, $inward);
        if (defined $sent) { substr($inward, 0, $sent, '') }
        elsif (!now_not()) { ($server_hears, $hears, $inward) = (0, 0, '') }
    }
    if (!$hears && !length $inward && !$until) {
        shutdown($server, 1) if $server_hears;
        $until = time + $last_words;
    }
    if (vec($read, $both, 1)) {
        my $got = sysread($server, $outward, $most, length $outward);
        $server_speaks = 0 if defined $got ? !$got : !now_not();
    }
    if (vec($write, $out, 1)) {
        my $said = syswrite(STDOUT, $outward);
        if (defined $said) { substr($outward, 0, $said, '') }
        elsif (!now_not()) { last }
    }
}
