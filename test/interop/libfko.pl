# Asks libfko for libfko.ts. One question a line, one answer a line: tabs between fields, bytes in hexadecimal.
#
#     open PACKET KEY MODE HMAC_KEY HMAC_TYPE
#     seal KEY MODE HMAC_KEY HMAC_TYPE DIGEST_TYPE RANDOM USER OFFSET TYPE MESSAGE NAT SERVER_AUTH TIMEOUT
#
# An empty HMAC_KEY is none. The answer is `yes` and the fields, or `no` and libfko's error.
use strict;
use warnings;
use FKO;

$| = 1;
while (my $line = <STDIN>) {
    chomp $line;
    my ($verb, @fields) = split /\t/, $line, -1;
    print join("\t", $verb eq 'open' ? open_packet(@fields) : seal_packet(@fields)), "\n";
}

sub open_packet {
    my ($packet, $key, $mode, $hmac_key, $hmac_type) = @_;
    my $fko = FKO->new(bytes($packet), bytes($key), $mode, bytes($hmac_key), $hmac_type);
    return refusal($FKO::error_str) unless defined $fko;
    # Without a packet it makes an empty message.
    return refusal('no packet') unless defined $fko->encoded_data();
    my @texts = map { hex_of($fko->$_()) }
        qw(rand_value username version spa_message spa_nat_access spa_server_auth encoded_data);
    my @numbers = map { $fko->$_() } qw(timestamp spa_message_type spa_client_timeout digest_type);
    return ('yes', @texts, @numbers);
}

sub seal_packet {
    my ($key, $mode, $hmac_key, $hmac_type, $digest, $random, $user, $offset, $type, $message, $nat, $auth, $timeout) = @_;
    my $fko = FKO->new() or return refusal($FKO::error_str);
    my @steps = (
        [digest_type => $digest],
        [rand_value => bytes($random)],
        [username => bytes($user)],
        [timestamp => $offset],
        [spa_message_type => $type],
        [spa_message => bytes($message)],
    );
    push @steps, [spa_nat_access => bytes($nat)] if $nat ne '';
    push @steps, [spa_server_auth => bytes($auth)] if $auth ne '';
    push @steps, [spa_client_timeout => $timeout] if $timeout ne '';
    push @steps, [encryption_mode => $mode];
    push @steps, [hmac_type => $hmac_type] if $hmac_key ne '';
    push @steps, [spa_data_final => bytes($key), bytes($hmac_key)];
    for my $step (@steps) {
        my ($method, @arguments) = @$step;
        my $error = $fko->$method(@arguments);
        return refusal("$method " . ($error + 0)) if $error + 0 != 0;
    }
    return ('yes', hex_of($fko->spa_data()), hex_of($fko->encoded_data()), $fko->timestamp());
}

sub refusal {
    my ($text) = @_;
    my ($line) = split /\n/, $text // 'no reason';
    return ('no', hex_of($line // ''));
}

sub bytes { return pack 'H*', $_[0] }

sub hex_of { return defined $_[0] ? unpack 'H*', $_[0] : '' }
