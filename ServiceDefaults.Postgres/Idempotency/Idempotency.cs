using Microsoft.AspNetCore.Http.Features;
using Platform.ServiceDefaults.Postgres.Messaging;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>Another request took the key over because this one was too slow, so nothing of this one was kept: 409 with <c>Retry-After</c>.</summary>
public sealed class ClaimLostException() : Exception("The Idempotency-Key was taken over by another request.");

/// <summary>Commits a handler's effect together with the answer to its <c>Idempotency-Key</c>.</summary>
public sealed class Idempotency(Outbox? outbox = null)
{
    private HttpContext? _context;
    private IdempotencyClaim? _claim;

    internal bool IsAnswered { get; private set; }

    /// <summary>
    /// Stores <paramref name="result"/> as the answer to the request's key, commits <paramref name="transaction"/> and wakes the outbox. Without a key it just commits.
    /// Set headers such as <c>ETag</c> on the response before, so that they are kept too.
    /// </summary>
    /// <exception cref="ClaimLostException">Another request with the key took over; nothing was committed.</exception>
    public async Task<T> CommitAsync<T>(NpgsqlTransaction transaction, T result, CancellationToken cancellationToken) where T : IResult
    {
        if (_claim is { } claim)
        {
            var answer = await RenderAsync(_context!, result);
            if (!await IdempotencyStore.CompleteAsync(transaction, claim, answer, cancellationToken))
            {
                await transaction.RollbackAsync(CancellationToken.None);
                throw new ClaimLostException();
            }
        }

        await transaction.CommitAsync(cancellationToken);
        IsAnswered = _claim is not null;
        outbox?.Wake();
        return result;
    }

    internal void Begin(HttpContext context, IdempotencyClaim claim) => (_context, _claim) = (context, claim);

    // the answer is written twice, here into memory and then to the client, so that what is stored is what will be sent
    private static async Task<StoredAnswer> RenderAsync(HttpContext real, IResult result)
    {
        using var body = new MemoryStream();
        var response = new HttpResponseFeature { Headers = new HeaderDictionary() };
        foreach (var (name, value) in real.Response.Headers)
        {
            response.Headers[name] = value;
        }

        var features = new FeatureCollection(real.Features);
        features.Set<IHttpResponseFeature>(response);
        features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(body));
        // to the end, also when the client has gone meanwhile: writing to one that has gone ends early and without an error
        features.Set<IHttpRequestLifetimeFeature>(new HttpRequestLifetimeFeature());
        await result.ExecuteAsync(new DefaultHttpContext(features) { RequestServices = real.RequestServices });
        return new(response.StatusCode, IdempotencyMiddleware.HeadersToStore(response.Headers), body.ToArray());
    }
}
