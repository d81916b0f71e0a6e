using System.Data;
using System.Diagnostics;
using System.Net;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.ResilienceTesting;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Database;

public sealed class PostgresDatabaseTests(PostgresServer server)
{
    private const string LoseConnection = "select pg_terminate_backend(pg_backend_pid())::int";

    [Fact]
    public async Task A_read_whose_connection_is_lost_is_retried_on_another_one()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartAsync(database.ConnectionString);

        var runs = 0;
        (await app.Get<PostgresDatabase>().ReadAsync(connection => connection.ExecuteScalarAsync<int>(++runs == 1 ? LoseConnection : "select 42"), default)).ShouldBe(42);

        runs.ShouldBe(2);
    }

    [Fact]
    public async Task A_read_that_fails_each_time_is_given_up_after_the_third()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartAsync(database.ConnectionString);

        var runs = 0;
        await Should.ThrowAsync<NpgsqlException>(() => app.Get<PostgresDatabase>().ReadAsync(connection =>
        {
            runs++;
            return connection.ExecuteScalarAsync<int>(LoseConnection);
        }, default));

        runs.ShouldBe(3);
    }

    [Theory]
    [InlineData("Services:database:RetryBudget:Reserve", "0.9")]
    [InlineData("Services:database:Retry:Sends", "1")]
    public async Task Nothing_is_repeated_without_budget_or_where_retries_are_switched_off(string key, string value)
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartAsync(database.ConnectionString, new() { [key] = value, ["Services:database:RetryBudget:PerSuccess"] = "0" });

        var runs = 0;
        await Should.ThrowAsync<NpgsqlException>(() => app.Get<PostgresDatabase>().ReadAsync(connection =>
        {
            runs++;
            return connection.ExecuteScalarAsync<int>(LoseConnection);
        }, default));

        runs.ShouldBe(1);
    }

    [Fact]
    public async Task A_connection_that_breaks_in_use_is_a_failure_of_the_database()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartAsync(database.ConnectionString);

        await using (var connection = await app.Get<PostgresDatabase>().OpenConnectionAsync(default))
        {
            await Should.ThrowAsync<NpgsqlException>(() => connection.ExecuteAsync(LoseConnection));
        }

        var counted = Guard(app).Breaker.Snapshot();
        counted.Counts.TotalFailures.ShouldBe(1);
        counted.LastError.ShouldBe("the connection broke off");
    }

    [Fact]
    public async Task After_a_restart_of_the_server_no_statement_meets_a_connection_of_before()
    {
        await using var own = await PostgresServer.StartNewAsync();
        await using var app = await StartAsync(own.ConnectionStringTo("postgres"));
        await UseThreeAtOnceAsync();

        await own.StopAsync();
        await own.StartAsync();
        await using var outside = NpgsqlDataSource.Create(own.ConnectionStringTo("postgres") + ";Pooling=false");
        await Eventually.Async(async () => (await outside.ScalarAsync<int>("select count(*)::int from pg_stat_activity where query like 'listen %'")).ShouldBe(1));

        await UseThreeAtOnceAsync();

        async Task UseThreeAtOnceAsync()
        {
            var connections = new List<NpgsqlConnection>();
            for (var i = 0; i < 3; i++)
            {
                connections.Add(await app.Get<PostgresDatabase>().OpenConnectionAsync(default));
            }

            foreach (var connection in connections)
            {
                (await connection.ExecuteScalarAsync<int>("select 1")).ShouldBe(1);
            }

            connections.ForEach(connection => connection.Dispose());
        }
    }

    [Fact]
    public async Task A_restart_of_the_server_while_nobody_listens_discards_the_pooled_connections()
    {
        await using var own = await PostgresServer.StartNewAsync();
        var time = new ObservableTimeProvider();
        await using var app = await DatabaseApp.StartAsync(own.ConnectionStringTo("postgres"), builder => builder.Services.AddSingleton<TimeProvider>(time));
        await using var outside = NpgsqlDataSource.Create(own.ConnectionStringTo("postgres") + ";Pooling=false");
        await Eventually.Async(ListensAsync);
        await outside.ExecuteAsync("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'");
        var retryDelay = await time.TimerAsync(TimeSpan.FromMilliseconds(500));
        await UseAsync();

        await own.StopAsync();
        await own.StartAsync();
        time.Advance(retryDelay);
        await Eventually.Async(ListensAsync);

        await UseAsync();

        async Task ListensAsync() => (await outside.ScalarAsync<int>("select count(*)::int from pg_stat_activity where query like 'listen %'")).ShouldBe(1);

        async Task UseAsync()
        {
            await using var connection = await app.Get<PostgresDatabase>().OpenConnectionAsync(default);
            (await connection.ExecuteScalarAsync<int>("select 1")).ShouldBe(1);
        }
    }

    [Fact]
    public async Task A_listener_refused_by_a_full_server_keeps_the_pooled_connections()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        var role = $"{database.Name}_role";
        await database.DataSource.ExecuteAsync($"create role {role} login password 'role'; alter database {database.Name} owner to {role}; alter schema public owner to {role}");
        var own = new NpgsqlConnectionStringBuilder(database.ConnectionString) { Username = role, Password = "role", MaxPoolSize = 1 }.ConnectionString;
        var time = new ObservableTimeProvider();
        await using var app = await DatabaseApp.StartAsync(own, builder => builder.Services.AddSingleton<TimeProvider>(time));
        await Eventually.Async(async () => (await SessionsAsync("query like 'listen %'")).ShouldBe(1));

        // Room for one session, which the pool takes while the listener waits before it connects again.
        await database.DataSource.ExecuteAsync($"alter role {role} connection limit 1");
        await database.DataSource.ExecuteAsync($"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}' and query like 'listen %'");
        var retryDelay = await time.TimerAsync(TimeSpan.FromMilliseconds(500));
        await Eventually.Async(async () => (await SessionsAsync("true")).ShouldBe(0));
        var process = await Eventually.Async(ProcessAsync);

        for (var refused = 0; refused < 2; refused++)
        {
            time.Advance(retryDelay);
            await time.TimerAsync(retryDelay);
        }

        (await ProcessAsync()).ShouldBe(process);

        Task<int> SessionsAsync(string condition) => database.DataSource.ScalarAsync<int>($"select count(*)::int from pg_stat_activity where usename = '{role}' and {condition}");

        async Task<int> ProcessAsync()
        {
            await using var connection = await app.Get<PostgresDatabase>().OpenConnectionAsync(default);
            return await connection.ExecuteScalarAsync<int>("select pg_backend_pid()");
        }
    }

    [Fact]
    public async Task A_database_that_is_gone_opens_the_breaker_and_its_return_closes_it()
    {
        await using var own = await PostgresServer.StartNewAsync();
        await using var app = await StartAsync(own.ConnectionStringTo("postgres"));
        (await StatusAsync(app, "/read")).ShouldBe(HttpStatusCode.OK);
        await own.KillAsync();

        await Eventually.Async(async () =>
        {
            (await StatusAsync(app, "/read")).ShouldBe(HttpStatusCode.ServiceUnavailable);
            Guard(app).Breaker.State.ShouldBe(CircuitState.Open);
        });
        using (var refused = await app.Client.GetAsync("/read"))
        {
            await refused.ShouldSayThatTheDatabaseIsUnavailableAsync();
            refused.Headers.RetryAfter!.Delta!.Value.ShouldBe(TimeSpan.FromSeconds(1));
        }

        Guard(app).Breaker.Snapshot().Counts.Rejected.ShouldBeGreaterThan(0);
        (await app.Client.GetStringAsync("/health").ContinueWith(health => health.IsFaulted)).ShouldBeTrue();

        await own.StartAsync();
        await Eventually.Async(async () => (await StatusAsync(app, "/read")).ShouldBe(HttpStatusCode.OK));
        Guard(app).Breaker.State.ShouldBe(CircuitState.Closed);
        // asks on a connection of its own, which a server that has only just started need not have for it within a second
        await Eventually.Async(async () => (await StatusAsync(app, "/health")).ShouldBe(HttpStatusCode.OK));
    }

    [Fact]
    public async Task The_breaker_counts_failed_connections_but_not_failed_statements_or_an_exhausted_pool()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartAsync(database.ConnectionString, new() { ["Database:MaxPoolSize"] = "3", ["Database:ConnectTimeout"] = "1" });
        var guarded = app.Get<PostgresDatabase>();
        await using (var connection = await guarded.OpenConnectionAsync(default))
        {
            await Should.ThrowAsync<PostgresException>(() => connection.ExecuteAsync("select * from nowhere"));
        }

        var held = new List<NpgsqlConnection>();
        await Eventually.Async(async () =>
        {
            NpgsqlException? empty = null;
            try
            {
                held.Add(await guarded.OpenConnectionAsync(default));
            }
            catch (NpgsqlException exception)
            {
                empty = exception;
            }

            empty.ShouldNotBeNull().Message.ShouldContain("pool");
        });
        foreach (var connection in held)
        {
            await connection.DisposeAsync();
        }

        Guard(app).Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task A_database_that_is_cut_off_is_detected_by_the_first_read_long_before_its_command_times_out()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        var address = new NpgsqlConnectionStringBuilder(database.ConnectionString);
        await using var proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, address.Port));
        (address.Host, address.Port) = ("127.0.0.1", proxy.Port);
        await using var app = await StartAsync(address.ConnectionString, new() { ["Database:ConnectTimeout"] = "2", ["Database:CommandTimeout"] = "600" });
        (await StatusAsync(app, "/read")).ShouldBe(HttpStatusCode.OK);

        using (proxy.Faults.BlackHole())
        {
            using var refused = await app.Client.GetAsync("/read");
            await refused.ShouldSayThatTheDatabaseIsUnavailableAsync();
            Guard(app).Breaker.State.ShouldNotBe(CircuitState.Closed);
        }

        await Eventually.Async(async () => (await StatusAsync(app, "/read")).ShouldBe(HttpStatusCode.OK));
        // The listener hears signals again too, although its connection may break in the moment in which its use is cancelled.
        var signal = app.Get<Signals>()["any"];
        var seen = signal.Version;
        await Eventually.TrueAsync(async () =>
        {
            await database.DataSource.ExecuteAsync("select pg_notify('platform_signals', 'another-process any')");
            return signal.Version > seen;
        });
    }

    [Fact]
    public async Task The_server_ends_a_transaction_whose_process_is_silent_and_releases_its_locks()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await database.DataSource.ExecuteAsync("create table things (id int primary key); insert into things values (1)");
        await using var app = await StartAsync(database.ConnectionString, new() { ["Database:IdleTransactionTimeout"] = "1" });
        await using var paused = await app.Get<PostgresDatabase>().OpenConnectionAsync(default);
        await using var transaction = await paused.BeginTransactionAsync();
        await paused.ExecuteAsync("update things set id = 2");

        (await database.DataSource.ScalarAsync<int>("select id from things for update")).ShouldBe(1);

        var ended = await Should.ThrowAsync<NpgsqlException>(() => transaction.CommitAsync());
        DatabaseProblems.IsUnavailable(ended).ShouldBeTrue();
    }

    [Fact]
    public async Task A_slow_statement_is_not_given_up_while_the_database_answers()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        // The probe's own connection has a second of real time. A busy machine may need more: then the whole is tried again.
        await Eventually.Async(async () =>
        {
            var time = new ObservableTimeProvider();
            await using var app = await DatabaseApp.StartAsync(
                database.ConnectionString, builder => builder.Services.AddSingleton<TimeProvider>(time), settings: new() { ["Database:ConnectTimeout"] = "58" });
            await using var blocker = await database.DataSource.OpenConnectionAsync();
            await blocker.ExecuteAsync("select pg_advisory_lock(42)");
            var probed = new TaskCompletionSource();
            using var listener = new ActivityListener
            {
                ShouldListenTo = source => source.Name == "Npgsql",
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
                ActivityStopped = activity =>
                {
                    var tags = activity.TagObjects.Select(tag => tag.Value as string).ToList();
                    if (tags.Contains("select") && tags.Contains(database.Name))
                    {
                        probed.TrySetResult();
                    }
                },
            };
            ActivitySource.AddActivityListener(listener);

            var reading = app.Get<PostgresDatabase>().ReadAsync(connection => connection.ExecuteScalarAsync<int>("select 42 from pg_advisory_xact_lock(42)"), default);
            time.Advance(await time.TimerAsync(TimeSpan.FromSeconds(29)));
            await probed.Task.WaitAsync(TimeSpan.FromSeconds(60));
            await blocker.ExecuteAsync("select pg_advisory_unlock(42)");

            (await reading).ShouldBe(42);
            Guard(app).Breaker.State.ShouldBe(CircuitState.Closed);
        });
    }

    [Fact]
    public async Task A_service_that_serves_something_without_its_database_is_degraded_and_not_unhealthy_while_it_is_gone()
    {
        await using var own = await PostgresServer.StartNewAsync();
        await using var app = await TestApp.StartAsync(
            builder =>
            {
                builder.AddServiceDefaults();
                builder.AddPostgres("test-db", required: false);
            },
            app =>
            {
                app.UseServiceDefaults();
                app.MapDefaultEndpoints();
            },
            new Dictionary<string, string?> { ["InternalToken"] = DatabaseApp.Token, ["Database:ConnectTimeout"] = "30", ["ConnectionStrings:test-db"] = own.ConnectionStringTo("postgres") });
        await app.Get<DatabaseMigrations>().WaitAsync(default);
        await own.KillAsync();

        var report = await app.Client.GetStringAsync("/health");

        report.ShouldContain("\"status\":\"degraded\"");
        report.ShouldContain("\"database\":\"disconnected\"");
    }

    [Fact]
    public void A_first_connection_that_waits_too_long_for_the_types_that_another_reads_says_that_the_database_is_unavailable() =>
        DatabaseProblems.IsUnavailable(new TimeoutException()).ShouldBeTrue();

    [Fact]
    public void A_connection_that_breaks_off_in_the_middle_of_a_row_says_that_the_database_is_unavailable()
    {
        var inRow = new DataException("Error parsing column 0", new NpgsqlException("Exception while reading from stream", new EndOfStreamException()));

        DatabaseProblems.IsUnavailable(inRow).ShouldBeTrue();
        DatabaseProblems.IsTransient(inRow).ShouldBeTrue();
        DatabaseProblems.IsUnavailable(new DataException("Error parsing column 0", new InvalidCastException())).ShouldBeFalse();
    }

    private static Destination Guard(TestApp app) => app.Get<Destinations>()[PostgresDatabase.Name];

    private static Task<TestApp> StartAsync(string connectionString, Dictionary<string, string?>? settings = null) => DatabaseApp.StartAsync(
        connectionString,
        map: app => app.MapGet("/read", (PostgresDatabase database, CancellationToken cancellationToken) =>
            database.ReadAsync(connection => connection.ExecuteScalarAsync<int>("select 1"), cancellationToken)),
        settings: settings);

    private static async Task<HttpStatusCode> StatusAsync(TestApp app, string path)
    {
        using var response = await app.Client.GetAsync(path);
        return response.StatusCode;
    }
}
