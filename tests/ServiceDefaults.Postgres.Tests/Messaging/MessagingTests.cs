using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Npgsql;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Messaging;

/// <summary>A sender and a receiver, each a service with a database of its own, over real sockets.</summary>
public sealed class MessagingTests(PostgresServer server) : IAsyncLifetime
{
    private readonly int _receiverPort = FreePort.Next();
    private readonly List<TestApp> _apps = [];
    private TestDatabase _senderDatabase = null!;
    private TestDatabase _receiverDatabase = null!;

    public async ValueTask InitializeAsync()
    {
        _senderDatabase = await TestDatabase.CreateAsync(server);
        _receiverDatabase = await TestDatabase.CreateAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var app in _apps)
        {
            await app.DisposeAsync();
        }

        await _senderDatabase.DisposeAsync();
        await _receiverDatabase.DisposeAsync();
    }

    [Fact]
    public async Task Delivery_continues_after_an_unexpected_database_error()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        await ReceivedAsync(1);
        var errors = await ErrorsAsync();

        await _senderDatabase.DataSource.ScalarAsync<string>("alter table outbox_destinations rename to gone");
        await Eventually.Async(async () => (await ErrorsAsync()).ShouldBeGreaterThan(errors));
        await _senderDatabase.DataSource.ScalarAsync<string>("alter table gone rename to outbox_destinations");

        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(2));
        await ReceivedAsync(2);

        Task<long> ErrorsAsync() => _senderDatabase.DataSource.ScalarAsync<long>("select xact_rollback from pg_stat_database where datname = current_database()");
    }

    [Fact]
    public async Task A_commit_wakes_the_dispatcher()
    {
        await StartReceiverAsync();
        // No poll comes on a clock that stands, so only the wake-up can explain the delivery.
        var sender = await StartSenderAsync(configure: builder => builder.Services.AddSingleton<TimeProvider>(new FakeTimeProvider(DateTimeOffset.UtcNow)));
        var key = Guid.CreateVersion7();
        await EnqueueAsync(sender, key, new Note(1));
        await ReceivedAsync(1);
        await Eventually.Async(async () => (await BacklogAsync()).ShouldBe(0));

        for (var n = 2; n <= 4; n++)
        {
            await EnqueueAsync(sender, key, new Note(n));
            await ReceivedAsync(n);
        }
    }

    [Fact]
    public async Task A_message_of_a_rolled_back_transaction_is_never_sent()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var key = Guid.CreateVersion7();
        await using (var connection = await _senderDatabase.DataSource.OpenConnectionAsync())
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await sender.Get<Outbox>().EnqueueAsync(transaction, "receiver", "note", key, "s", new Note(1), CancellationToken.None);
            await transaction.RollbackAsync();
        }

        await EnqueueAsync(sender, key, new Note(2));
        await ReceivedAsync(1);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received")).ShouldBe([2]);
    }

    [Fact]
    public async Task A_message_carries_correlation_id_and_trace()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        using (CorrelationContext.Begin("order-42"))
        {
            using var request = new Activity("request").SetIdFormat(ActivityIdFormat.W3C).Start();
            await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
            await ReceivedAsync(1);
            (await _receiverDatabase.DataSource.ScalarAsync<string>("select correlation_id from received")).ShouldBe("order-42");
            (await _receiverDatabase.DataSource.ScalarAsync<string>("select trace_id from received")).ShouldBe(request.TraceId.ToString());
        }
    }

    [Fact]
    public async Task Messages_of_a_key_arrive_in_order_and_once_with_two_dispatchers_at_work()
    {
        const int Keys = 15;
        const int PerKey = 12;
        await StartReceiverAsync();
        var senders = new[] { await StartSenderAsync(), await StartSenderAsync() };
        var keys = Enumerable.Range(0, Keys).Select(_ => Guid.CreateVersion7()).ToArray();

        await Task.WhenAll(keys.Select(async (key, index) =>
        {
            for (var n = 1; n <= PerKey; n++)
            {
                await EnqueueAsync(senders[(index + n) % 2], key, new Note(n));
            }
        }));

        await ReceivedAsync(Keys * PerKey);
        foreach (var key in keys)
        {
            (await _receiverDatabase.DataSource.ListAsync<int>("select n from received where key = @key order by position", new { key }))
                .ShouldBe(Enumerable.Range(1, PerKey));
        }

        await Eventually.Async(async () => (await BacklogAsync()).ShouldBe(0));
        (await _senderDatabase.DataSource.ScalarAsync<long>("select coalesce(sum(pending), 0) from outbox_keys")).ShouldBe(0);
    }

    [Fact]
    public async Task While_a_receiver_is_unavailable_messages_wait_and_use_up_no_attempts()
    {
        var sender = await StartSenderAsync(new() { ["Messaging:MaxBackoff"] = "00:00:01" });
        var keys = Enumerable.Range(0, 5).Select(_ => Guid.CreateVersion7()).ToArray();
        foreach (var key in keys)
        {
            for (var n = 1; n <= 4; n++)
            {
                await EnqueueAsync(sender, key, new Note(n));
            }
        }

        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBeGreaterThan(3));
        (await _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from outbox where dead_at is null and refusals = 0")).ShouldBe(20);

        await StartReceiverAsync();
        await ReceivedAsync(20);
        foreach (var key in keys)
        {
            (await _receiverDatabase.DataSource.ListAsync<int>("select n from received where key = @key order by position", new { key })).ShouldBe([1, 2, 3, 4]);
        }

        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBe(0));
    }

    [Fact]
    public async Task While_a_receiver_is_unavailable_a_new_message_does_not_trigger_a_search_of_the_backlog()
    {
        var sender = await StartSenderAsync();
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBeGreaterThan(4));
        var looks = 0;
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Npgsql",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (activity.TagObjects.Any(tag => tag.Value is string text && text.Contains("as TrialInSeconds", StringComparison.Ordinal)))
                {
                    Interlocked.Increment(ref looks);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);

        for (var n = 0; n < 400; n++)
        {
            await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        }

        await Eventually.TrueAsync(() => Volatile.Read(ref looks) > 0);
        looks.ShouldBeLessThan(100);
    }

    [Fact]
    public async Task A_receiver_whose_probe_succeeds_gets_its_messages_long_before_the_back_off_ends()
    {
        var (ready, refusedProbes) = (false, 0);
        await using var receiver = await StubService.StartAsync(app =>
        {
            app.MapGet("/ready", () => ready ? Results.Ok() : Refuse());
            app.MapPost("/messages", () => Results.StatusCode(ready ? 202 : 503));
        }, _receiverPort);

        IResult Refuse()
        {
            Interlocked.Increment(ref refusedProbes);
            return Results.StatusCode(503);
        }

        var sender = await StartSenderAsync();
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBeGreaterThan(0));
        await Eventually.Async(async () =>
        {
            // As after a long outage. Repeated, because a send that began earlier writes its own.
            await _senderDatabase.DataSource.ExecuteAsync("update outbox_destinations set not_before = now() + interval '10 minutes'");
            // Answered, not just received: a probe that is still on its way when the receiver recovers would not have failed.
            Volatile.Read(ref refusedProbes).ShouldBeGreaterThan(0);
        });

        ready = true;

        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBe(0));
    }

    [Theory]
    [InlineData(503)]
    [InlineData(401)]
    public async Task The_send_rate_to_a_failing_receiver_does_not_grow_with_keys_or_replicas(int status)
    {
        await using var busy = await StubService.StartAsync(app => app.MapPost("/messages", () => Results.StatusCode(status)), _receiverPort);
        var senders = new[] { await StartSenderAsync(), await StartSenderAsync(), await StartSenderAsync() };
        for (var i = 0; i < 30; i++)
        {
            await EnqueueAsync(senders[i % 3], Guid.CreateVersion7(), new Note(i));
        }

        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations")).ShouldBeGreaterThanOrEqualTo(4));
        // What was in flight at the first failure, then one at a time. Messages are counted before failures, which can only make the bound looser.
        var before = Messages();
        var failures = await FailuresAsync();
        before.ShouldBeLessThanOrEqualTo(3 * 8 + failures + 1);
        await Eventually.Async(async () => (await FailuresAsync()).ShouldBeGreaterThanOrEqualTo(failures + 2));
        var sent = Messages() - before;
        sent.ShouldBeGreaterThanOrEqualTo(1);
        sent.ShouldBeLessThanOrEqualTo(await FailuresAsync() - failures + 2);
        (await _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from outbox where dead_at is not null or refusals > 0")).ShouldBe(0);

        int Messages() => busy.Requests.Count(request => request.Path == "/messages");

        Task<int> FailuresAsync() => _senderDatabase.DataSource.ScalarAsync<int>("select failures from outbox_destinations");
    }

    [Fact]
    public async Task A_refused_message_becomes_a_dead_letter_that_blocks_only_its_own_key()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var bad = Guid.CreateVersion7();
        var good = Guid.CreateVersion7();
        await EnqueueAsync(sender, bad, new Note(1, Refuse: true));
        await EnqueueAsync(sender, bad, new Note(2));
        await EnqueueAsync(sender, good, new Note(3));
        await ReceivedAsync(1);

        var letter = await Eventually.Async(async () => (await DeadLettersAsync(sender)).ShouldHaveSingleItem());
        letter.GetProperty("type").GetString().ShouldBe("note");
        letter.GetProperty("partitionKey").GetGuid().ShouldBe(bad);
        letter.GetProperty("data").GetProperty("n").GetInt32().ShouldBe(1);
        letter.GetProperty("lastError").GetString()!.ShouldContain("refused by the test");
        await EnqueueAsync(sender, good, new Note(4));
        await ReceivedAsync(2);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received order by position")).ShouldBe([3, 4]);

        // still refused: it comes back with one more refusal
        (await DecideAsync(sender, letter, "redrive")).ShouldBe(HttpStatusCode.Accepted);
        await Eventually.Async(async () => (await DeadLettersAsync(sender)).ShouldHaveSingleItem().GetProperty("refusals").GetInt32().ShouldBe(2));

        // its cause was mended: it goes, and what waited behind it follows
        await _receiverDatabase.DataSource.ExecuteAsync("update behaviour set refuse = false");
        (await DecideAsync(sender, letter, "redrive")).ShouldBe(HttpStatusCode.Accepted);
        await ReceivedAsync(4);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received where key = @bad order by position", new { bad })).ShouldBe([1, 2]);
        (await DecideAsync(sender, letter, "redrive")).ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Discarding_a_dead_letter_unblocks_its_key_and_all_of_a_type_can_be_redriven()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var discarded = Guid.CreateVersion7();
        await EnqueueAsync(sender, discarded, new Note(1, Refuse: true));
        await EnqueueAsync(sender, discarded, new Note(2));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(3, Refuse: true));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(4, Refuse: true));
        var letters = await Eventually.Async(async () =>
        {
            var all = await DeadLettersAsync(sender);
            all.Count.ShouldBe(3);
            return all;
        });
        var backlog = (await sender.Client.GetFromJsonAsync<JsonElement>("/backlog")).EnumerateArray().ShouldHaveSingleItem();
        backlog.GetProperty("destination").GetString().ShouldBe("receiver");
        (backlog.GetProperty("waiting").GetInt32(), backlog.GetProperty("deadLetters").GetInt32(), backlog.GetProperty("away").GetBoolean()).ShouldBe((1, 3, false));
        // what waits behind a dead letter waits for a person
        backlog.TryGetProperty("oldestAt", out _).ShouldBeFalse();

        (await DecideAsync(sender, letters.Single(letter => letter.GetProperty("data").GetProperty("n").GetInt32() == 1), "discard")).ShouldBe(HttpStatusCode.NoContent);
        await ReceivedAsync(1);

        await _receiverDatabase.DataSource.ExecuteAsync("update behaviour set refuse = false");
        using var none = await sender.Client.PostAsync("/dead-letters/redrive?type=other", null);
        (await none.Content.ReadAsStringAsync()).ShouldContain("0");
        using var all = await sender.Client.PostAsync("/dead-letters/redrive?type=note", null);
        (await all.Content.ReadAsStringAsync()).ShouldContain("2");
        await ReceivedAsync(3);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received order by n")).ShouldBe([2, 3, 4]);
    }

    [Fact]
    public async Task A_failing_handler_leaves_no_effect_and_is_retried_until_the_message_is_poison()
    {
        await StartReceiverAsync(new() { ["Messaging:MaxHandlerFailures"] = "3" });
        var sender = await StartSenderAsync();
        var (bad, good) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        await EnqueueAsync(sender, bad, new Note(1, Fail: true));
        await EnqueueAsync(sender, good, new Note(2));

        var letter = await Eventually.Async(async () => (await DeadLettersAsync(sender)).ShouldHaveSingleItem());
        letter.GetProperty("lastError").GetString()!.ShouldContain("failed 3 times");
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received")).ShouldBe([2]);
        (await _receiverDatabase.DataSource.ScalarAsync<long>("select count(*) from inbox")).ShouldBe(1);

        await _receiverDatabase.DataSource.ExecuteAsync("update behaviour set fail = false");
        await DecideAsync(sender, letter, "redrive");
        await ReceivedAsync(2);
    }

    [Fact]
    public async Task A_redelivered_message_changes_nothing()
    {
        var receiver = await StartReceiverAsync();
        var id = Guid.CreateVersion7();
        var key = Guid.CreateVersion7();
        var statuses = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostEventAsync(receiver, Event(id.ToString(), key, 5))));
        statuses.ShouldAllBe(status => status == HttpStatusCode.Accepted);
        (await _receiverDatabase.DataSource.ScalarAsync<long>("select count(*) from received")).ShouldBe(1);
    }

    [Fact]
    public async Task A_late_duplicate_is_recognised_by_its_sequence_after_its_id_was_pruned()
    {
        var receiver = await StartReceiverAsync();
        var key = Guid.CreateVersion7();
        await PostEventAsync(receiver, Event("a", key, 5));
        await PostEventAsync(receiver, Event("b", key, 6));
        await _receiverDatabase.DataSource.ExecuteAsync("delete from inbox");

        (await PostEventAsync(receiver, Event("a", key, 5))).ShouldBe(HttpStatusCode.Accepted);
        (await PostEventAsync(receiver, Event("a", Guid.CreateVersion7(), 5))).ShouldBe(HttpStatusCode.Accepted);
        (await _receiverDatabase.DataSource.ScalarAsync<long>("select count(*) from received where key = @key", new { key })).ShouldBe(2);
    }

    [Fact]
    public async Task Message_ids_are_pruned_after_the_retention_time()
    {
        var receiver = await StartReceiverAsync();
        await PostEventAsync(receiver, Event("old", Guid.CreateVersion7(), 1));
        await PostEventAsync(receiver, Event("new", Guid.CreateVersion7(), 1));
        await _receiverDatabase.DataSource.ExecuteAsync("update inbox set received_at = now() - interval '8 days' where id = 'old'");
        await receiver.Get<Cleanup>().RunOnceAsync(CancellationToken.None);
        (await _receiverDatabase.DataSource.ListAsync<string>("select id from inbox")).ShouldBe(["new"]);
    }

    [Fact]
    public async Task A_message_may_be_larger_than_other_request_bodies()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1) { Text = new string('x', 3 * 1024 * 1024) });
        await ReceivedAsync(1);
    }

    [Fact]
    public async Task An_invalid_page_parameter_is_named()
    {
        var receiver = await StartReceiverAsync();
        foreach (var (query, field) in ((string, string)[])[("limit=many", "limit"), ("limit=0", "limit"), ("cursor=x!", "cursor")])
        {
            using var response = await receiver.Client.GetAsync($"/dead-letters?{query}");
            response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
            (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").TryGetProperty(field, out _).ShouldBeTrue();
        }
    }

    [Fact]
    public async Task A_sender_restored_from_a_backup_does_not_reuse_sequences()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var key = Guid.CreateVersion7();
        await EnqueueAsync(sender, key, new Note(1));
        await ReceivedAsync(1);
        await Eventually.Async(async () => (await BacklogAsync()).ShouldBe(0));
        await _senderDatabase.DataSource.ExecuteAsync("delete from outbox_keys");
        await EnqueueAsync(sender, key, new Note(2));
        await ReceivedAsync(2);
    }

    [Fact]
    public async Task A_key_claimed_by_an_unknown_process_is_taken_over_when_its_lease_expires()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var key = Guid.CreateVersion7();
        await _senderDatabase.DataSource.ExecuteAsync(
            "insert into outbox_keys (destination, partition_key, last_sequence, lease, lease_until) values ('receiver', @key, 1, gen_random_uuid(), now() + interval '10 minutes')",
            new { key });
        await EnqueueAsync(sender, key, new Note(1));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(2));
        await ReceivedAsync(1);

        await _senderDatabase.DataSource.ExecuteAsync("update outbox_keys set lease_until = now() where partition_key = @key", new { key });

        await ReceivedAsync(2);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received order by position")).ShouldBe([2, 1]);
    }

    [Fact]
    public async Task A_killed_processs_keys_are_taken_over_long_before_their_lease_expires()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync(new() { ["Messaging:Lease"] = "00:05:00" });
        var key = Guid.CreateVersion7();
        var alive = await ClaimAsAnotherProcessAsync(async (connection, process) => await connection.ExecuteAsync(
            """
            insert into outbox_keys (destination, partition_key, last_sequence, lease, lease_until, owner)
            values ('receiver', @key, 1, gen_random_uuid(), now() + interval '5 minutes', @process)
            """, new { key, process }));
        await EnqueueAsync(sender, key, new Note(1));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(2));
        await ReceivedAsync(1);
        // not because nobody has looked: the living process keeps what it has
        await sender.Get<ForgetDeadProcesses>().ExecuteAsync(CancellationToken.None);
        (await sender.Get<OutboxStore>().ReleaseOrphanedAsync("receiver", CancellationToken.None)).ShouldBe(0);

        await alive.DisposeAsync();

        await ReceivedAsync(2);
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received order by position")).ShouldBe([2, 1]);
    }

    [Fact]
    public async Task A_process_killed_during_its_trial_of_an_unreachable_destination_does_not_block_the_others()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync(new() { ["Messaging:Lease"] = "00:05:00" });
        await Eventually.Async(async () => (await _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from outbox_destinations")).ShouldBe(1));
        await using (var killed = await ClaimAsAnotherProcessAsync(async (connection, process) => await connection.ExecuteAsync(
            "update outbox_destinations set failures = 3, trial = gen_random_uuid(), trial_owner = @process, not_before = now() + interval '5 minutes'", new { process })))
        {
            await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        }

        await ReceivedAsync(1);
    }

    [Fact]
    public async Task A_recovery_seen_by_another_process_is_used_although_the_own_breaker_is_open()
    {
        var sender = await StartSenderAsync(
            new() { ["Services:receiver:CircuitBreaker:ConnectFailures"] = "1", ["Services:receiver:CircuitBreaker:BreakDuration"] = "00:10:00" },
            // the breaker is left with the end of its break
            builder => builder.Services.Remove(builder.Services.Single(service => service.ImplementationType?.Name == "RecoveryProbes")));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        var breaker = sender.Get<Destinations>()["receiver"].Breaker;
        await Eventually.TrueAsync(() => breaker.State == CircuitState.Open);

        await StartReceiverAsync();
        // as another does, which knows it from a probe of its own; a trial that is refused would put the next one off by half a minute
        await _senderDatabase.DataSource.ExecuteAsync("update outbox_destinations set failures = 20, trial = null, not_before = now() where failures > 0");

        await ReceivedAsync(1);
    }

    [Fact]
    public async Task A_process_that_shuts_down_deletes_its_row()
    {
        var sender = await StartSenderAsync();
        await sender.Get<ProcessSession>().GetIdAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));
        (await _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from processes")).ShouldBe(1);

        await sender.App.StopAsync();

        (await _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from processes")).ShouldBe(0);
    }

    [Fact]
    public async Task A_process_that_loses_its_session_continues_under_a_new_identity()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var before = await sender.Get<ProcessSession>().GetIdAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));

        await _senderDatabase.DataSource.ExecuteAsync(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = @LockClass::oid and database = (select oid from pg_database where datname = current_database())",
            new { ProcessSession.LockClass });

        await Eventually.TrueAsync(() => sender.Get<ProcessSession>().Id is { } id && id != before);
        await Eventually.Async(async () => (await _senderDatabase.DataSource.ListAsync<Guid>("select id from processes")).ShouldBe([sender.Get<ProcessSession>().Id!.Value]));
        await EnqueueAsync(sender, Guid.CreateVersion7(), new Note(1));
        await ReceivedAsync(1);
    }

    [Fact]
    public async Task A_database_crash_during_a_delivery_delays_it_only_until_the_database_is_back()
    {
        await using var own = await PostgresServer.StartNewAsync();
        var entered = new TaskCompletionSource();
        var answer = new TaskCompletionSource();
        await using var receiver = await StubService.StartAsync(
            app => app.MapPost("/messages", async () =>
            {
                entered.TrySetResult();
                await answer.Task;
                return Results.Accepted();
            }),
            _receiverPort);
        // With a lease this long, the test would end before the lease does.
        await using var sender = await DatabaseApp.StartAsync(
            own.ConnectionStringTo("postgres"),
            builder => builder.AddOutbox("sender", "receiver"),
            settings: new() { ["RECEIVER_URL"] = receiver.Address.ToString(), ["Messaging:Lease"] = "00:05:00" });
        await using (var connection = await sender.Get<NpgsqlDataSource>().OpenConnectionAsync())
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await sender.Get<Outbox>().EnqueueAsync(transaction, "receiver", "note", Guid.CreateVersion7(), "s", new Note(1), CancellationToken.None);
            await transaction.CommitAsync();
        }

        sender.Get<Outbox>().Wake();
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await own.KillAsync();
        answer.SetResult();
        await own.StartAsync();

        await Eventually.Async(async () => (await sender.Get<NpgsqlDataSource>().ScalarAsync<long>("select count(*) from outbox")).ShouldBe(0));
        receiver.Requests.Count.ShouldBe(2);
        receiver.Requests.Select(request => JsonSerializer.Deserialize<JsonElement>(request.Text).GetProperty("id").GetString()).Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task A_message_resent_after_a_crash_has_no_second_effect()
    {
        await StartReceiverAsync();
        var sender = await StartSenderAsync();
        var key = Guid.CreateVersion7();
        var id = await EnqueueAsync(sender, key, new Note(1));
        await ReceivedAsync(1);
        await Eventually.Async(async () => (await BacklogAsync()).ShouldBe(0));

        // as if the sender had been killed before it forgot the message
        await _senderDatabase.DataSource.ExecuteAsync(
            """
            insert into outbox (id, destination, partition_key, sequence, type, subject, data) select @id, 'receiver', @key, last_sequence, 'note', 's', '{"n":1}' from outbox_keys;
            update outbox_keys set pending = 1, next_attempt_at = now();
            """, new { id, key });
        await EnqueueAsync(sender, key, new Note(2));
        await ReceivedAsync(2);
        await Eventually.Async(async () => (await BacklogAsync()).ShouldBe(0));
        (await _receiverDatabase.DataSource.ListAsync<int>("select n from received order by position")).ShouldBe([1, 2]);
    }

    [Fact]
    public async Task Invalid_messages_are_refused_permanently()
    {
        var receiver = await StartReceiverAsync();
        foreach (var (template, status, named) in ((string, int, string)[])
        [
            ("""{"specversion":"1.0","id":"a","source":"backend","type":"other",KEY,"sequence":"1","data":{}}""", 422, "other"),
            ("""{"specversion":"1.0","id":"a","source":"backend","type":"note",KEY,"sequence":1,"data":{"n":"x"}}""", 422, "data"),
            ("""{"specversion":"1.0","id":"a","source":"backend","type":"note",KEY,"sequence":"1"}""", 422, "data"),
            ("""{"specversion":"0.3","id":"a","source":"backend","type":"note",KEY,"sequence":"1","data":{}}""", 400, "specversion"),
            ("""{"specversion":"1.0","id":"a","source":"backend","type":"note","partitionkey":"x","sequence":"1","data":{}}""", 400, "partitionkey"),
            ("""{"specversion":"1.0","id":"","source":"backend","type":"note",KEY,"sequence":"1","data":{}}""", 400, "id"),
            ("""{"specversion":"1.0","id":"a","source":"backend","type":"note",KEY,"sequence":"one","data":{}}""", 400, "sequence"),
            ("""{"specversion":"1.0"}""", 400, "partitionkey is required; sequence is required"),
            ("nonsense", 400, "body"),
        ])
        {
            var json = template.Replace("KEY", "\"partitionkey\":\"018f0000-0000-7000-8000-000000000000\"", StringComparison.Ordinal);
            using var response = await receiver.Client.PostAsync("/messages", DatabaseApp.Json(json, "application/cloudevents+json"));
            ((int)response.StatusCode).ShouldBe(status, json);
            response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
            (await response.Content.ReadAsStringAsync()).ShouldContain(named);
        }

        (await _receiverDatabase.DataSource.ScalarAsync<long>("select count(*) from inbox")).ShouldBe(0);
    }

    [Fact]
    public async Task Messages_are_internal()
    {
        var receiver = await StartReceiverAsync();
        using var stranger = new HttpClient { BaseAddress = receiver.Address };
        foreach (var path in (string[])["/messages", $"/dead-letters/{Guid.Empty}/redrive", "/dead-letters/redrive"])
        {
            using var response = await stranger.PostAsync(path, DatabaseApp.Json("{}", "application/cloudevents+json"));
            response.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        }

        (await stranger.GetAsync("/backlog")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await stranger.GetAsync("/dead-letters")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    private static string Event(string id, Guid key, long sequence) => JsonSerializer.Serialize(new
    {
        specversion = "1.0",
        id,
        source = "backend",
        type = "note",
        subject = "s",
        partitionkey = key,
        sequence = sequence.ToString(CultureInfo.InvariantCulture),
        data = new { n = 1, later = "a field of a newer sender" },
    });

    private static async Task<HttpStatusCode> PostEventAsync(TestApp receiver, string json)
    {
        using var response = await receiver.Client.PostAsync("/messages", DatabaseApp.Json(json, "application/cloudevents+json"));
        return response.StatusCode;
    }

    private static async Task<IReadOnlyList<JsonElement>> DeadLettersAsync(TestApp sender) =>
        [.. (await sender.Client.GetFromJsonAsync<JsonElement>("/dead-letters?limit=100")).GetProperty("items").EnumerateArray()];

    private static async Task<HttpStatusCode> DecideAsync(TestApp sender, JsonElement letter, string decision)
    {
        using var response = await sender.Client.PostAsync($"/dead-letters/{letter.GetProperty("id").GetGuid()}/{decision}", null);
        return response.StatusCode;
    }

    private async Task<TestApp> StartSenderAsync(Dictionary<string, string?>? settings = null, Action<WebApplicationBuilder>? configure = null)
    {
        var app = await DatabaseApp.StartAsync(
            _senderDatabase.ConnectionString,
            builder =>
            {
                builder.AddOutbox("sender", "receiver");
                configure?.Invoke(builder);
            },
            app => app.MapMessages(),
            new(settings ?? []) { ["RECEIVER_URL"] = $"http://127.0.0.1:{_receiverPort}" });
        _apps.Add(app);
        return app;
    }

    private async Task<TestApp> StartReceiverAsync(Dictionary<string, string?>? settings = null)
    {
        await _receiverDatabase.DataSource.ExecuteAsync(
            """
            create table received (position bigserial primary key, key uuid, n int, correlation_id text, trace_id text);
            create table behaviour (refuse boolean default true, fail boolean default true);
            insert into behaviour default values;
            """);
        var app = await DatabaseApp.StartAsync(
            _receiverDatabase.ConnectionString,
            builder => builder.AddInbox().Handle<Note, NoteHandler>("note"),
            app => app.MapMessages(),
            settings,
            _receiverPort);
        _apps.Add(app);
        return app;
    }

    /// <summary>A process that has claimed something and lives until what this returns is disposed of.</summary>
    private async Task<NpgsqlConnection> ClaimAsAnotherProcessAsync(Func<NpgsqlConnection, Guid, Task> claim)
    {
        var connection = new NpgsqlConnection(_senderDatabase.ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        var process = Guid.CreateVersion7();
        await connection.ExecuteAsync(
            """
            select pg_advisory_lock(@LockClass, 1000000);
            insert into processes (id, lock_key, service, host, process_id, version) values (@process, 1000000, 'test', 'test', 1, '')
            """, new { ProcessSession.LockClass, process });
        await claim(connection, process);
        return connection;
    }

    private async Task<Guid> EnqueueAsync(TestApp sender, Guid key, Note note)
    {
        var outbox = sender.Get<Outbox>();
        await using var connection = await _senderDatabase.DataSource.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var id = await outbox.EnqueueAsync(transaction, "receiver", "note", key, "s", note, CancellationToken.None);
        await transaction.CommitAsync();
        outbox.Wake();
        return id;
    }

    private Task ReceivedAsync(int count) => Eventually.Async(
        async () => (await _receiverDatabase.DataSource.ScalarAsync<long>("select count(*) from received")).ShouldBe(count));

    private Task<long> BacklogAsync() => _senderDatabase.DataSource.ScalarAsync<long>("select count(*) from outbox");

    internal sealed record Note(int N, bool Refuse = false, bool Fail = false, string Text = "");

    internal sealed class NoteHandler : IMessageHandler<Note>
    {
        public async Task HandleAsync(Note data, MessageContext context, CancellationToken cancellationToken)
        {
            await context.Connection.ExecuteAsync(
                "insert into received (key, n, correlation_id, trace_id) values (@PartitionKey, @N, @id, @traceId)",
                new { context.PartitionKey, data.N, id = CorrelationContext.Current, traceId = Activity.Current?.TraceId.ToString() },
                context.Transaction);
            var (refuse, fail) = await context.Connection.QuerySingleAsync<(bool, bool)>("select refuse, fail from behaviour", transaction: context.Transaction);
            if (data.Refuse && refuse)
            {
                throw new MessageRefusedException("refused by the test");
            }

            if (data.Fail && fail)
            {
                throw new InvalidOperationException("a bug in the handler");
            }
        }
    }
}
