using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Platform.Backend.Templates;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Templates;

public sealed class TemplateCatalogTests(PostgresServer server) : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new();
    private readonly RegistryStub _registry = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddOptions<TemplateOptions>().Services.BuildServiceProvider();
    private readonly List<IHost> _hosts = [];
    private TestDatabase _database = null!;
    private HttpClient _http = null!;

    public async ValueTask InitializeAsync()
    {
        _database = await TestDatabase.CreateAsync(server);
        await using var migration = typeof(TemplateCatalog).Assembly.GetManifestResourceStream(
            typeof(TemplateCatalog).Assembly.GetManifestResourceNames().Single(name => name.EndsWith("0001_shops_templates_deployments.sql", StringComparison.Ordinal)))!;
        await using var command = _database.DataSource.CreateCommand(await new StreamReader(migration).ReadToEndAsync(TestContext.Current.CancellationToken));
        await command.ExecuteNonQueryAsync();
        await _registry.StartAsync();
        _http = new HttpClient { BaseAddress = _registry.Address };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        _hosts.ForEach(host => host.Dispose());
        await _registry.DisposeAsync();
        await _database.DisposeAsync();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task An_answer_is_fresh_for_two_seconds_and_then_asked_for_again()
    {
        var catalog = Catalog();

        for (var second = 0; second < 2; second++)
        {
            (await catalog.ListAsync(default)).ShouldSatisfyAllConditions(
                answer => answer.Stale.ShouldBeFalse(),
                answer => answer.Age.ShouldBe(TimeSpan.FromSeconds(second)));
            _registry.Requests.Count.ShouldBe(1);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        (await catalog.ListAsync(default)).Age.ShouldBe(TimeSpan.Zero);
        _registry.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task Many_who_ask_at_once_are_one_question()
    {
        var catalog = Catalog();

        await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => catalog.FindVersionAsync("aurora", "1.0.0", default)));

        _registry.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task After_a_publication_nothing_is_fresh()
    {
        var catalog = Catalog();
        await catalog.ListAsync(default);

        catalog.Expire();

        (await catalog.ListAsync(default)).Stale.ShouldBeFalse();
        _registry.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_registry_that_refuses_at_once_is_asked_four_times_a_second_so_that_its_return_is_not_missed()
    {
        var catalog = Catalog();
        await catalog.FindAsync("aurora", default);
        _registry.Instead = context => Results.StatusCode(503).ExecuteAsync(context);
        _time.Advance(TimeSpan.FromSeconds(36));

        (await catalog.FindAsync("aurora", default)).ShouldNotBeNull().ShouldSatisfyAllConditions(
            answer => answer.Stale.ShouldBeTrue(),
            answer => answer.Age.ShouldBe(TimeSpan.FromSeconds(36)));
        _registry.Instead = null;
        _time.Advance(TimeSpan.FromMilliseconds(249));
        (await catalog.FindAsync("aurora", default)).ShouldNotBeNull().Stale.ShouldBeTrue();
        _time.Advance(TimeSpan.FromMilliseconds(1));

        (await catalog.FindAsync("aurora", default)).ShouldNotBeNull().Stale.ShouldBeFalse();
    }

    [Fact]
    public async Task With_an_older_answer_a_registry_that_hangs_is_waited_for_one_second()
    {
        var catalog = Catalog();
        await catalog.ListAsync(default);
        _time.Advance(TimeSpan.FromSeconds(10));
        _registry.Instead = context => Task.Delay(Timeout.Infinite, context.RequestAborted);

        var asking = catalog.ListAsync(default);
        await Eventually.TrueAsync(() => _registry.Requests.Count == 2);
        asking.IsCompleted.ShouldBeFalse();
        _time.Advance(TimeSpan.FromSeconds(1));

        (await asking.WaitAsync(TimeSpan.FromSeconds(60))).ShouldSatisfyAllConditions(
            answer => answer.Stale.ShouldBeTrue(),
            answer => answer.Age.ShouldBe(TimeSpan.FromSeconds(11)));

        // and then left alone for two, so that nobody else waits as long
        for (var i = 0; i < 10; i++)
        {
            (await catalog.ListAsync(default)).Stale.ShouldBeTrue();
        }

        _registry.Requests.Count.ShouldBe(2);
        _time.Advance(TimeSpan.FromSeconds(2));
        _registry.Instead = null;
        (await catalog.ListAsync(default)).Stale.ShouldBeFalse();
    }

    [Fact]
    public async Task Without_an_older_answer_a_registry_that_hangs_is_waited_for_five_seconds()
    {
        _registry.Instead = context => Task.Delay(Timeout.Infinite, context.RequestAborted);

        var asking = Catalog().ListAsync(default);
        await Eventually.TrueAsync(() => _registry.Requests.Count == 1);
        _time.Advance(TimeSpan.FromSeconds(4.9));
        asking.IsCompleted.ShouldBeFalse();
        _time.Advance(TimeSpan.FromSeconds(0.1));

        await Should.ThrowAsync<DependencyUnavailableException>(() => asking.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task Another_process_that_never_asked_gives_the_answer_that_was_kept()
    {
        await Catalog().FindVersionAsync("aurora", "1.0.0", default);
        await _registry.StopAsync();
        _time.Advance(TimeSpan.FromMinutes(3));

        var other = Catalog();
        (await other.FindVersionAsync("aurora", "1.0.0", default)).ShouldNotBeNull().ShouldSatisfyAllConditions(
            answer => answer.Stale.ShouldBeTrue(),
            answer => answer.Age.ShouldBe(TimeSpan.FromMinutes(3)),
            answer => answer.Value.Parameters.Select(parameter => parameter.Name).ShouldBe(["tagline", "accent", "columns"]));
        (await other.FindContentAsync("aurora", "1.0.0", default)).ShouldNotBeNull();
        (await Should.ThrowAsync<DependencyUnavailableException>(() => other.FindVersionAsync("aurora", "1.1.0", default))).Dependency.ShouldBe("template-registry");
    }

    [Fact]
    public async Task What_never_changes_in_a_version_is_asked_for_once()
    {
        var catalog = Catalog();
        await catalog.FindContentAsync("aurora", "1.0.0", default);
        _time.Advance(TimeSpan.FromDays(1));

        (await catalog.FindContentAsync("aurora", "1.0.0", default)).ShouldNotBeNull();
        (await Catalog().FindContentAsync("aurora", "1.0.0", default)).ShouldNotBeNull();

        _registry.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task What_does_not_exist_is_asked_for_each_time_and_is_there_once_it_is_published()
    {
        var catalog = Catalog();
        (await catalog.FindVersionAsync("aurora", "2.0.0", default)).ShouldBeNull();
        _registry.Templates["aurora"].Add(RegistryStub.Version("aurora", "2.0.0"));

        (await catalog.FindVersionAsync("aurora", "2.0.0", default)).ShouldNotBeNull();
        (await catalog.FindAsync("../ready", default)).ShouldBeNull();
        (await catalog.FindVersionAsync("aurora", "..", default)).ShouldBeNull();
        _registry.Requests.Select(request => request.Path).ShouldAllBe(path => path == "/templates/aurora/versions/2.0.0");
    }

    [Fact]
    public async Task Templates_are_served_from_the_registry_also_while_the_database_is_away()
    {
        var own = await PostgresServer.StartNewAsync();
        await using (own)
        {
            var database = await TestDatabase.CreateAsync(own);
            var catalog = Catalog(database);
            await own.StopAsync();

            (await catalog.ListAsync(default)).Stale.ShouldBeFalse();
            await own.StartAsync();
            await database.DisposeAsync();
        }
    }

    private IServiceProvider Services(TestDatabase database)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new());
        builder.Configuration.AddInMemoryCollection([new("ConnectionStrings:db", database.ConnectionString)]);
        builder.AddServiceDefaults();
        builder.AddPostgres("db");
        builder.Services.AddFallback(TemplateCatalog.Fallback);
        _hosts.Add(builder.Build());
        return _hosts[^1].Services;
    }

    private TemplateCatalog Catalog(TestDatabase? database = null)
    {
        var services = Services(database ?? _database);
        return new(
            new TemplateRegistryClient(_http), new TemplateAnswers(), services.GetRequiredService<PostgresDatabase>(), services.GetRequiredService<Fallbacks>(),
            _services.GetRequiredService<IOptionsMonitor<TemplateOptions>>(), _time, NullLogger<TemplateCatalog>.Instance);
    }
}
