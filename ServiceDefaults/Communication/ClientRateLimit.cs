using System.Security.Claims;
using System.Threading.RateLimiting;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A token bucket for each client: the authenticated caller, else its <see cref="ClientAddress"/>. Buckets of idle clients are evicted by
/// <see cref="PartitionedRateLimiter{TResource}"/>.
/// </summary>
internal sealed class ClientRateLimit(IOptions<AdmissionOptions> options, TimeProvider time) : IDisposable
{
    private readonly PartitionedRateLimiter<HttpContext> _buckets = Create(options.Value, time);

    /// <summary>Takes one token, or returns the time until there is one.</summary>
    public bool TryTake(HttpContext context, out TimeSpan retryAfter)
    {
        using var lease = _buckets.AttemptAcquire(context);
        retryAfter = lease.TryGetMetadata(MetadataName.RetryAfter, out var value) ? value : TimeSpan.Zero;
        return lease.IsAcquired;
    }

    public void Dispose() => _buckets.Dispose();

    private static PartitionedRateLimiter<HttpContext> Create(AdmissionOptions options, TimeProvider time)
    {
        Func<object, RateLimiter> newBucket = _ => new TokenBucket(options.RatePerSecond, options.Burst, time);
        return PartitionedRateLimiter.Create<HttpContext, object>(context => RateLimitPartition.Get(ClientOf(context), newBucket));
    }

    // Names are strings and addresses are not, so a caller named like an address has a bucket of its own.
    private static object ClientOf(HttpContext context)
    {
        if (context.User.Identity?.IsAuthenticated == true
            && (context.User.FindFirstValue(ClaimTypes.NameIdentifier) ?? context.User.Identity.Name) is { Length: > 0 } caller)
        {
            return caller;
        }

        return ClientAddress.Of(context);
    }

    /// <summary>
    /// A token bucket stored as the time at which it will be full again (the generic cell rate algorithm of ITU-T I.371, which admits the same requests). It needs no refill
    /// timer and has an exact Retry-After. <see cref="TokenBucketRateLimiter"/> has the precision of its replenishment period, and takes no <see cref="TimeProvider"/>.
    /// </summary>
    private sealed class TokenBucket(double perSecond, int burst, TimeProvider time) : RateLimiter
    {
        private static readonly RateLimitLease Taken = new Lease(null);

        private readonly Lock _lock = new();
        private readonly long _token = Math.Max(1, (long)(time.TimestampFrequency / perSecond));
        private long _fullAt = time.GetTimestamp();

        public override TimeSpan? IdleDuration
        {
            get
            {
                lock (_lock)
                {
                    var now = time.GetTimestamp();
                    return _fullAt <= now ? time.GetElapsedTime(_fullAt, now) : null;
                }
            }
        }

        public override RateLimiterStatistics? GetStatistics() => null;

        protected override RateLimitLease AttemptAcquireCore(int permitCount)
        {
            lock (_lock)
            {
                var now = time.GetTimestamp();
                var fullAt = Math.Max(_fullAt, now) + (permitCount * _token);
                var missing = fullAt - now - (burst * _token);
                if (missing > 0)
                {
                    return new Lease(time.GetElapsedTime(0, missing));
                }

                _fullAt = fullAt;
                return Taken;
            }
        }

        protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) => new(AttemptAcquireCore(permitCount));

        private sealed class Lease(TimeSpan? retryAfter) : RateLimitLease
        {
            public override bool IsAcquired => retryAfter is null;

            public override IEnumerable<string> MetadataNames => retryAfter is null ? [] : [MetadataName.RetryAfter.Name];

            public override bool TryGetMetadata(string metadataName, out object? metadata)
            {
                metadata = retryAfter;
                return retryAfter is not null && metadataName == MetadataName.RetryAfter.Name;
            }
        }
    }
}
