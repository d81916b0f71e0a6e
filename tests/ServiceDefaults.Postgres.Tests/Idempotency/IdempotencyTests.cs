using System.Net;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests.Idempotency;

public sealed class IdempotencyTests(TestDatabase database) : IClassFixture<TestDatabase>, IAsyncLifetime
{
    private readonly List<TaskCompletionSource> _entered = [];
    private TaskCompletionSource? _hold;
    private TestApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        _app = await StartAsync();
        await database.DataSource.ExecuteAsync("create table if not exists effects (id uuid primary key, name text not null); truncate effects, idempotency_keys");
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    [Fact]
    public async Task A_replay_gives_the_first_answer_again_and_does_nothing()
    {
        using var first = await PostAsync("/effects", """{"name":"one"}""", "\"key-1\"");
        first.StatusCode.ShouldBe(HttpStatusCode.Created);
        first.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();

        using var second = await PostAsync("/effects", """{"name":"one"}""", "key-1");
        second.StatusCode.ShouldBe(HttpStatusCode.Created);
        second.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        second.Headers.Location.ShouldBe(first.Headers.Location);
        second.Headers.ETag.ShouldBe(first.Headers.ETag);
        first.Headers.ETag!.Tag.ShouldBe("\"1\"");
        second.Content.Headers.ContentType.ShouldBe(first.Content.Headers.ContentType);
        (await second.Content.ReadAsByteArrayAsync()).ShouldBe(await first.Content.ReadAsByteArrayAsync());
        (await CountAsync()).ShouldBe(1);
    }

    [Theory]
    [InlineData("/gone", HttpStatusCode.Created, "\"name\":\"one\"", 1)]
    [InlineData("/gone-and-refused", HttpStatusCode.Conflict, "The name is taken.", 0)]
    public async Task Who_goes_before_the_answer_gets_all_of_it_when_asking_again(string path, HttpStatusCode status, string text, int effects)
    {
        await Should.ThrowAsync<HttpRequestException>(() => PostAsync(path, """{"name":"one"}""", "key-1"));

        await Eventually.Async(async () =>
        {
            using var again = await PostAsync(path, """{"name":"one"}""", "key-1");
            again.StatusCode.ShouldBe(status);
            (await again.Content.ReadAsStringAsync()).ShouldContain(text);
        });
        (await CountAsync()).ShouldBe(effects);
    }

    [Fact]
    public async Task Without_a_key_every_call_counts()
    {
        using var first = await PostAsync("/effects", """{"name":"one"}""", null);
        using var second = await PostAsync("/effects", """{"name":"one"}""", null);
        second.StatusCode.ShouldBe(HttpStatusCode.Created);
        (await CountAsync()).ShouldBe(2);
    }

    [Fact]
    public async Task Another_request_with_the_key_is_a_422()
    {
        using var first = await PostAsync("/effects", """{"name":"one"}""", "key-1");
        using var otherBody = await PostAsync("/effects", """{"name":"two"}""", "key-1");
        otherBody.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        otherBody.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        using var otherPath = await PostAsync("/effects?x=1", """{"name":"one"}""", "key-1");
        otherPath.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        (await CountAsync()).ShouldBe(1);
    }

    [Theory]
    [InlineData("with space")]
    [InlineData("\"open")]
    public async Task A_malformed_key_is_a_400_that_names_it(string key)
    {
        using var response = await PostAsync("/effects", """{"name":"one"}""", key);
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await response.Content.ReadAsStringAsync()).ShouldContain("Idempotency-Key");
        (await CountAsync()).ShouldBe(0);
    }

    [Fact]
    public async Task Fifty_at_once_have_one_effect_and_all_get_it_or_a_409_that_says_when_to_retry()
    {
        var responses = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => PostAsync("/effects", """{"name":"one"}""", "key-1")));
        var locations = new HashSet<Uri?>();
        foreach (var response in responses)
        {
            if (response.StatusCode == HttpStatusCode.Conflict)
            {
                response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
            }
            else
            {
                response.StatusCode.ShouldBe(HttpStatusCode.Created);
                locations.Add(response.Headers.Location);
            }

            response.Dispose();
        }

        locations.Count.ShouldBe(1);
        (await CountAsync()).ShouldBe(1);
    }

    [Fact]
    public async Task While_the_first_is_in_progress_the_second_is_told_to_wait()
    {
        _hold = new();
        var entered = new TaskCompletionSource();
        _entered.Add(entered);
        var first = PostAsync("/effects", """{"name":"one"}""", "key-1");
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(60));

        using var second = await PostAsync("/effects", """{"name":"one"}""", "key-1");
        second.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        second.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));

        _hold.SetResult();
        using var done = await first;
        done.StatusCode.ShouldBe(HttpStatusCode.Created);
        (await CountAsync()).ShouldBe(1);
    }

    [Fact]
    public async Task A_final_error_is_kept_and_a_passing_one_is_not()
    {
        using var conflict = await PostAsync("/conflict", "{}", "key-1");
        conflict.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        using var again = await PostAsync("/conflict", "{}", "key-1");
        again.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        again.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        again.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        (await again.Content.ReadAsStringAsync()).ShouldBe(await conflict.Content.ReadAsStringAsync());

        foreach (var path in (string[])["/unavailable", "/throws", "/too-many"])
        {
            using var failed = await PostAsync(path, "{}", $"key{path}");
            ((int)failed.StatusCode).ShouldBeGreaterThanOrEqualTo(429);
            using var retried = await PostAsync(path, "{}", $"key{path}");
            retried.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();
        }

        (await database.DataSource.ScalarAsync<long>("select count(*) from idempotency_keys")).ShouldBe(1);
    }

    [Fact]
    public async Task An_invalid_body_is_kept_as_the_answer_too()
    {
        using var first = await PostAsync("/effects", """{"nam":"one"}""", "key-1");
        first.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        using var second = await PostAsync("/effects", """{"nam":"one"}""", "key-1");
        second.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        second.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
    }

    [Fact]
    public async Task A_crash_between_claim_and_commit_leaves_nothing_and_the_key_is_free_when_the_claim_is_over()
    {
        // what a killed process leaves: its claim
        await database.DataSource.ExecuteAsync("update idempotency_keys set claimed_until = now()");
        _hold = new();
        var entered = new TaskCompletionSource();
        _entered.Add(entered);
        var killed = PostAsync("/effects", """{"name":"one"}""", "key-1");
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(60));
        using (var early = await PostAsync("/effects", """{"name":"one"}""", "key-1"))
        {
            early.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        }

        // time passes until the claim is over, and another takes the key over and commits
        await database.DataSource.ExecuteAsync("update idempotency_keys set claimed_until = now() - interval '1 second'");
        await using var other = await StartAsync();
        using var taken = await PostAsync("/effects-at-once", """{"name":"one"}""", "key-2", other);
        using var response = await PostAsync("/effects", """{"name":"one"}""", "key-1", other, holdless: true);
        response.StatusCode.ShouldBe(HttpStatusCode.Created);

        // the first one was not dead, only slow: it must change nothing now
        _hold.SetResult();
        using var late = await killed;
        late.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        late.Headers.RetryAfter.ShouldNotBeNull();
        (await database.DataSource.ScalarAsync<long>("select count(*) from effects where name = 'one'")).ShouldBe(2);
        using var replay = await PostAsync("/effects", """{"name":"one"}""", "key-1");
        replay.Headers.Location.ShouldBe(response.Headers.Location);
    }

    [Fact]
    public async Task A_refusal_that_comes_after_the_key_was_taken_over_is_not_given()
    {
        _hold = new();
        var entered = new TaskCompletionSource();
        _entered.Add(entered);
        var slow = PostAsync("/refused-when-late", """{"name":"one"}""", "key-1");
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await database.DataSource.ExecuteAsync("update idempotency_keys set claimed_until = now() - interval '1 second'");
        using var taken = await PostAsync("/refused-when-late", """{"name":"one"}""", "key-1", holdless: true);
        taken.StatusCode.ShouldBe(HttpStatusCode.Created);

        _hold.SetResult();
        using var late = await slow;

        // one key, one answer: that one is for the next request with it
        late.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        late.Headers.RetryAfter.ShouldNotBeNull();
        using var replay = await PostAsync("/refused-when-late", """{"name":"one"}""", "key-1");
        replay.StatusCode.ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_key_is_forgotten_after_its_time()
    {
        using var first = await PostAsync("/effects", """{"name":"one"}""", "key-1");
        await database.DataSource.ExecuteAsync("update idempotency_keys set expires_at = now() - interval '1 second'");
        using var second = await PostAsync("/effects", """{"name":"other"}""", "key-1");
        second.StatusCode.ShouldBe(HttpStatusCode.Created);
        (await CountAsync()).ShouldBe(2);
    }

    [Fact]
    public async Task Keys_past_their_time_are_deleted_and_no_others()
    {
        using var old = await PostAsync("/effects", """{"name":"one"}""", "old");
        await database.DataSource.ExecuteAsync("update idempotency_keys set expires_at = now()");
        using var kept = await PostAsync("/effects", """{"name":"one"}""", "kept");
        await _app.Get<Cleanup>().RunOnceAsync(CancellationToken.None);
        (await database.DataSource.ListAsync<string>("select key from idempotency_keys")).ShouldBe(["kept"]);
    }

    [Fact]
    public async Task The_header_is_described()
    {
        (await _app.Client.GetStringAsync("/openapi/v1.json")).ShouldContain("Idempotency-Key");
    }

    private Task<TestApp> StartAsync() => DatabaseApp.StartAsync(database.ConnectionString, map: app =>
    {
        app.MapPost("/effects", CreateAsync).WithIdempotency();
        app.MapPost("/effects-at-once", CreateAsync).WithIdempotency();
        app.MapPost("/refused-when-late", async (HttpContext context) =>
        {
            if (context.Request.Headers.ContainsKey("X-Holdless"))
            {
                return Results.Created();
            }

            _entered.ForEach(entered => entered.TrySetResult());
            await _hold!.Task;
            return Problem.Of(412, "Changed meanwhile.");
        }).WithIdempotency();
        app.MapPost("/gone", async (Effect effect, HttpContext context, NpgsqlDataSource dataSource, Platform.ServiceDefaults.Postgres.Idempotency.Idempotency idempotency) =>
        {
            context.Abort();
            return await CreateAsync(effect, context, dataSource, idempotency, CancellationToken.None);
        }).WithIdempotency();
        var refused = 0;
        app.MapPost("/gone-and-refused", (HttpContext context) =>
        {
            if (Interlocked.Increment(ref refused) == 1)
            {
                context.Abort();
            }

            return Problem.Conflict("The name is taken.");
        }).WithIdempotency();
        app.MapPost("/conflict", () => Problem.Conflict("The name is taken.")).WithIdempotency();
        app.MapPost("/unavailable", () => Problem.Unavailable("Not now.", TimeSpan.FromSeconds(1))).WithIdempotency();
        app.MapPost("/throws", string () => throw new InvalidOperationException("a bug")).WithIdempotency();
        app.MapPost("/too-many", () => Problem.Of(429, "Too many.")).WithIdempotency();
    });

    private async Task<IResult> CreateAsync(
        Effect effect, HttpContext context, NpgsqlDataSource dataSource, Platform.ServiceDefaults.Postgres.Idempotency.Idempotency idempotency, CancellationToken cancellationToken)
    {
        if (_hold is { } hold && !context.Request.Headers.ContainsKey("X-Holdless"))
        {
            _entered.ForEach(entered => entered.TrySetResult());
            await hold.Task;
        }

        var id = Guid.CreateVersion7();
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await connection.ExecuteAsync("insert into effects (id, name) values (@id, @Name)", new { id, effect.Name }, transaction);
        context.Response.Headers.ETag = "\"1\"";
        return await idempotency.CommitAsync(transaction, TypedResults.Created($"/effects/{id}", new { id, effect.Name }), cancellationToken);
    }

    private async Task<HttpResponseMessage> PostAsync(string path, string json, string? key, TestApp? app = null, bool holdless = false)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = DatabaseApp.Json(json) };
        if (key is not null)
        {
            request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        }

        if (holdless || path == "/effects-at-once")
        {
            request.Headers.Add("X-Holdless", "1");
        }

        return await (app ?? _app).Client.SendAsync(request);
    }

    private Task<long> CountAsync() => database.DataSource.ScalarAsync<long>("select count(*) from effects");

    internal sealed record Effect(string Name);
}
