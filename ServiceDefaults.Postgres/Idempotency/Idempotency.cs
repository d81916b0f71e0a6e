using Microsoft.AspNetCore.Http.Features;
using Platform.ServiceDefaults.Postgres.Messaging;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>This request took so long that another one took over its key. Nothing was committed; answered with 409 and <c>Retry-After</c>.</summary>
public sealed class ClaimLostException() : Exception("The Idempotency-Key was taken over by another request.");

/// <summary>Commits a handler's effect together with the response stored for its <c>Idempotency-Key</c>.</summary>
public sealed class Idempotency(Outbox? outbox = null)
{
    private HttpContext? _context;
    private IdempotencyClaim? _claim;

    internal bool IsAnswered { get; private set; }

    /// <summary>
    /// Stores <paramref name="result"/> as the response for the request's key, commits <paramref name="transaction"/> and wakes the outbox. Without a key it just commits.
    /// Set headers such as <c>ETag</c> before, so that they are stored too.
    /// </summary>
    /// <exception cref="ClaimLostException">Another request took over the key; nothing was committed.</exception>
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

    // Executes the result twice: here into memory for storage, later to the client. So both get the same response.
    private static async Task<StoredResponse> RenderAsync(HttpContext real, IResult result)
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
        // Not the request's own: if the client disconnects, writes end early without an error, and half a response would be stored.
        features.Set<IHttpRequestLifetimeFeature>(new HttpRequestLifetimeFeature());
        await result.ExecuteAsync(new DefaultHttpContext(features) { RequestServices = real.RequestServices });
        return new(response.StatusCode, IdempotencyMiddleware.HeadersToStore(response.Headers), body.ToArray());
    }
}
