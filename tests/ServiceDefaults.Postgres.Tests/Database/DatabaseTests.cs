using System.Net;
using System.Reflection;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Database;

public sealed class DatabaseTests(PostgresServer server)
{
    [Fact]
    public async Task Migrations_are_applied_once_by_however_many_replicas_start_together()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        var replicas = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => DatabaseApp.StartAsync(database.ConnectionString)));
        try
        {
            (await database.DataSource.ScalarAsync<long>("select count(*) from schema_migrations")).ShouldBe(
                typeof(DatabaseMigrations).Assembly.GetManifestResourceNames().Count(name => name.EndsWith(".sql", StringComparison.Ordinal)));
            (await database.DataSource.ScalarAsync<long>("select count(*) from outbox")).ShouldBe(0);
        }
        finally
        {
            foreach (var replica in replicas)
            {
                await replica.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task A_migration_that_was_changed_after_it_was_applied_is_refused()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using (await DatabaseApp.StartAsync(database.ConnectionString))
        {
        }

        await database.DataSource.ExecuteAsync("update schema_migrations set checksum = 'other' where version = 1");
        var builder = Host.CreateEmptyApplicationBuilder(new());
        builder.Configuration.AddInMemoryCollection([new("ConnectionStrings:test-db", database.ConnectionString)]);
        builder.AddServiceDefaults();
        builder.AddPostgres("test-db");
        using var host = builder.Build();
        var migrations = host.Services.GetRequiredService<DatabaseMigrations>();
        await migrations.StartAsync(default);
        (await Should.ThrowAsync<InvalidOperationException>(() => migrations.ExecuteTask!)).Message.ShouldContain("0001_messaging was changed");
    }

    [Fact]
    public async Task A_missing_connection_string_is_named()
    {
        var exception = await Should.ThrowAsync<InvalidOperationException>(() => DatabaseApp.StartAsync(""));
        exception.Message.ShouldContain("ConnectionStrings__test-db");
    }

    [Theory]
    [InlineData("Host=db;Username=platform", false)]
    [InlineData("Host=db;Username=platform;Password=", false)]
    [InlineData("Host=db;Username=platform;Password=x", true)]
    [InlineData("Host=db;Username=platform;Passfile=/run/secrets/pgpass", true)]
    [InlineData("Host=db;Username=platform;SSL Certificate=/run/secrets/client.pem", true)]
    public async Task Outside_of_development_database_credentials_are_required(string connectionString, bool starts)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.Configuration.AddInMemoryCollection([new("ConnectionStrings:some-db", connectionString), new("InternalToken", starts ? DatabaseApp.Token : null)]);
        builder.AddServiceDefaults();
        builder.AddPostgres("some-db");
        await using var app = builder.Build();
        if (starts)
        {
            app.UseServiceDefaults();
        }
        else
        {
            // all that is missing, at once
            Should.Throw<OptionsValidationException>(() => app.UseServiceDefaults()).Failures.ShouldBe(
                [
                    "InternalToken is missing: set it to the same secret in every service.",
                    "The password of the database is missing: give ConnectionStrings:some-db a Password, a Passfile or an SSL Certificate.",
                ]);
        }
    }

    [Fact]
    public async Task It_starts_before_its_database_answers_503_during_an_outage_and_recovers_by_itself()
    {
        await using var own = await PostgresServer.StartNewAsync();
        await own.StopAsync();
        await using var app = await StartWithQueryAsync(own.ConnectionStringTo("postgres"));

        (await StatusAsync(app, "/alive")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync(app, "/health")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        using (var early = await app.Client.GetAsync("/query"))
        {
            early.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
            early.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
            early.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
            (await early.Content.ReadAsStringAsync()).ShouldContain("The service is starting: waiting for migrations.");
        }

        await own.StartAsync();
        await Eventually.Async(async () => (await StatusAsync(app, "/query")).ShouldBe(HttpStatusCode.OK));
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.OK);

        await own.KillAsync();
        await AssertUnavailableAsync(app);
        await AssertUnavailableAsync(app);

        (await StatusAsync(app, "/alive")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.OK);
        await own.StartAsync();
        await Eventually.Async(async () => (await StatusAsync(app, "/query")).ShouldBe(HttpStatusCode.OK));
    }

    [Fact]
    public async Task An_exhausted_pool_is_a_503_after_the_connection_timeout()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await StartWithQueryAsync(database.ConnectionString, new() { ["Database:MaxPoolSize"] = "2", ["Database:ConnectTimeout"] = "1" });
        new NpgsqlConnectionStringBuilder(app.Get<NpgsqlDataSource>().ConnectionString).Timeout.ShouldBe(1);
        var held = new List<NpgsqlConnection>();
        try
        {
            await Should.ThrowAsync<NpgsqlException>(async () =>
            {
                while (true)
                {
                    held.Add(await app.Get<NpgsqlDataSource>().OpenConnectionAsync());
                }
            });
            await AssertUnavailableAsync(app);
        }
        finally
        {
            foreach (var connection in held)
            {
                await connection.DisposeAsync();
            }
        }

        await Eventually.Async(async () => (await StatusAsync(app, "/query")).ShouldBe(HttpStatusCode.OK));
    }

    [Fact]
    public async Task A_wrong_statement_is_a_500()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await DatabaseApp.StartAsync(database.ConnectionString, map: app =>
            app.MapGet("/wrong", (NpgsqlDataSource dataSource) => dataSource.ScalarAsync<int>("select * from nowhere")));
        (await StatusAsync(app, "/wrong")).ShouldBe(HttpStatusCode.InternalServerError);
    }

    [Fact]
    public async Task Statements_are_not_logged_one_by_one_unless_asked_for()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await DatabaseApp.StartAsync(database.ConnectionString);
        app.Get<IConfiguration>()["Logging:LogLevel:Npgsql"].ShouldBe("Warning");
        await using var verbose = await DatabaseApp.StartAsync(database.ConnectionString, settings: new() { ["Logging:LogLevel:Npgsql"] = "Debug" });
        verbose.Get<IConfiguration>()["Logging:LogLevel:Npgsql"].ShouldBe("Debug");
    }

    [Fact]
    public async Task A_signal_wakes_this_process_and_the_others()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        await using var one = await DatabaseApp.StartAsync(database.ConnectionString);
        await using var other = await DatabaseApp.StartAsync(database.ConnectionString);
        var here = one.Get<Signals>()["jobs"];
        var there = other.Get<Signals>()["jobs"];
        var unrelated = other.Get<Signals>()["unrelated"];
        // A new listener assumes once that every signal was set, so only the second version proves that it has heard one.
        var ready = other.Get<Signals>()["ready"];
        await Eventually.TrueAsync(() =>
        {
            one.Get<Signals>()["ready"].Set();
            return ready.Version >= 2;
        });
        var (seenHere, seenThere, seenUnrelated) = (here.Version, there.Version, unrelated.Version);

        here.Set();
        here.Version.ShouldBe(seenHere + 1);
        await there.WaitAsync(seenThere, TimeSpan.FromSeconds(60), CancellationToken.None);
        there.Version.ShouldBeGreaterThan(seenThere);
        unrelated.Version.ShouldBe(seenUnrelated);
    }

    [Fact]
    public async Task A_process_gives_up_its_identity_as_soon_as_its_session_ends()
    {
        var time = new ObservableTimeProvider(DateTimeOffset.UtcNow);
        await using var database = await TestDatabase.CreateAsync(server);
        await using var app = await DatabaseApp.StartAsync(database.ConnectionString, builder => builder.Services.AddProcessSession().AddSingleton<TimeProvider>(time));
        var session = app.Get<ProcessSession>();
        var before = await session.GetIdAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));

        await database.DataSource.ExecuteAsync("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = @LockClass::oid and database = (select oid from pg_database where datname = current_database())", new { ProcessSession.LockClass });

        await Eventually.TrueAsync(() => session.Id is null);
        time.Advance(await time.TimerAsync(TimeSpan.FromMilliseconds(250)));
        (await session.GetIdAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60))).ShouldNotBe(before);
    }

    private static Task<TestApp> StartWithQueryAsync(string connectionString, Dictionary<string, string?>? settings = null) => DatabaseApp.StartAsync(
        connectionString,
        map: app => app.MapGet("/query", (PostgresDatabase database, CancellationToken cancellationToken) =>
            database.ReadAsync(connection => connection.ExecuteScalarAsync<int>("select 1"), cancellationToken)),
        settings: settings,
        waitForMigrations: settings is not null);

    private static async Task AssertUnavailableAsync(TestApp app)
    {
        using var response = await app.Client.GetAsync("/query");
        await response.ShouldSayThatTheDatabaseIsUnavailableAsync();
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
    }

    private static async Task<HttpStatusCode> StatusAsync(TestApp app, string path)
    {
        using var response = await app.Client.GetAsync(path);
        return response.StatusCode;
    }
}
